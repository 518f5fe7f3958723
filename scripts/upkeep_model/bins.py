"""Bins over a reference sample, and the population stability index between two lists of counts."""

from __future__ import annotations

import bisect
import math
from typing import List, Sequence

from .chisquare import chi_square_point


def edges(ordered: Sequence[float], bins: int) -> List[float]:
    """The inner edges of up to `bins` bins with equal shares of an ascending, non-empty reference sample.

    Bin i holds the values above edge i-1, up to and including edge i; the first and the last bin are open.
    An edge is always a value of the sample (the smallest one with at least k/bins of the sample at or
    below it), so that a value that occurs often lies in one bin as a whole. Equal edges are merged and an
    edge at the maximum is dropped, as the bin above it would be empty: tied samples have fewer bins.
    A sample of one single value gives three: below, equal, above.
    """
    n = len(ordered)
    if ordered[0] == ordered[-1]:
        return [math.nextafter(ordered[0], -math.inf), float(ordered[0])]
    found: List[float] = []
    for k in range(1, bins):
        edge = ordered[-(-k * n // bins) - 1]
        if edge < ordered[-1] and (not found or edge > found[-1]):
            found.append(edge)
    if not found:
        # Most of the sample is its maximum: one bin for it, one for all below.
        found.append(ordered[bisect.bisect_left(ordered, ordered[-1]) - 1])
    return found


def place(inner: Sequence[float], value: float) -> int:
    """The number of the bin that holds `value`, from 0 to len(inner)."""
    return bisect.bisect_left(inner, value)


def counts(inner: Sequence[float], values: Sequence[float]) -> List[int]:
    """How many of `values` lie in each bin."""
    found = [0] * (len(inner) + 1)
    for value in values:
        found[bisect.bisect_left(inner, value)] += 1
    return found


def stability_index(reference: Sequence[int], current: Sequence[int]) -> float:
    """The population stability index: sum of (c - r) * ln(c / r) over the shares r and c of each bin.

    Source: N. Siddiqi, "Credit Risk Scorecards" (2006); read as: below 0.1 no change, 0.1 to 0.25 some,
    above 0.25 a clear one. A count of zero is taken as one half (the sum of shares is not corrected),
    so that the index stays finite; bins that are empty on both sides are left out.
    """
    n, m = sum(reference), sum(current)
    if not n or not m:
        raise ValueError("stability_index of an empty sample")
    terms = []
    for a, b in zip(reference, current):
        if a == 0 and b == 0:
            continue
        r, c = (a or 0.5) / n, (b or 0.5) / m
        terms.append((c - r) * math.log(c / r))
    return math.fsum(terms)


def stability_noise(bins: int, n: int, m: int) -> float:
    """The index that 5 % of sample pairs of sizes `n` and `m` exceed although nothing has changed.

    Without a change the index is close to (1/n + 1/m) times a chi-square variable with bins - 1 degrees
    of freedom. Source: B. Yurdakul and J. Naranjo, "Statistical properties of the population stability
    index", Journal of Risk Model Validation 14 (2020).
    """
    if bins < 2:
        return 0.0
    return (1 / n + 1 / m) * chi_square_point(0.05, bins - 1)

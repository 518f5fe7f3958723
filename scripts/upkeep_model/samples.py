"""Samples of numbers: percentiles, and whether two samples come from one distribution."""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence


class KolmogorovSmirnov(NamedTuple):
    """distance  largest gap between the two empirical distribution functions, 0 to 1
    p            chance of such a gap when both samples come from one distribution"""

    distance: float
    p: float


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile at `share` (0 to 1) of an ascending, non-empty sequence, by linear interpolation.

    It is definition 7 of R. J. Hyndman and Y. Fan, "Sample quantiles in statistical
    packages", The American Statistician 50 (1996) 361-365: position share * (n - 1).
    """
    if not ordered:
        raise ValueError("quantile of nothing")
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    part = position - below
    if part == 0:
        return float(ordered[below])
    return ordered[below] + part * (ordered[below + 1] - ordered[below])


def kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> KolmogorovSmirnov:
    """The two-sample Kolmogorov-Smirnov test of two ascending, non-empty sequences; ties are allowed.

    The p-value is asymptotic, with Stephens' correction for small samples:
    lambda = (sqrt(Ne) + 0.12 + 0.11 / sqrt(Ne)) * D with Ne = n1 * n2 / (n1 + n2).
    Source: W. H. Press et al., "Numerical Recipes", 3rd ed., section 14.3.3, after
    M. A. Stephens, JRSS B 32 (1970) 115-122. With ties the p-value is too
    large rather than too small (the test is conservative).
    """
    n1, n2 = len(first), len(second)
    if not n1 or not n2:
        raise ValueError("kolmogorov_smirnov of an empty sample")
    i = j = 0
    distance = 0.0
    while i < n1 and j < n2:
        value = min(first[i], second[j])
        while i < n1 and first[i] == value:
            i += 1
        while j < n2 and second[j] == value:
            j += 1
        distance = max(distance, abs(i * n2 - j * n1) / (n1 * n2))
    root = math.sqrt(n1 * n2 / (n1 + n2))
    return KolmogorovSmirnov(distance, kolmogorov_tail((root + 0.12 + 0.11 / root) * distance))


def kolmogorov_tail(x: float) -> float:
    """Q(x) = 2 * sum over j >= 1 of (-1)^(j-1) exp(-2 j^2 x^2): the upper tail of the Kolmogorov distribution.

    Below 1.18 the equivalent series that converges fast there is used (Numerical Recipes, 3rd ed., section 6.14.12).
    """
    if x <= 0:
        return 1.0
    if x < 1.18:
        y = math.exp(-(math.pi ** 2) / (8 * x * x))
        total = y + y ** 9 + y ** 25 + y ** 49
        return min(1.0, max(0.0, 1 - math.sqrt(2 * math.pi) / x * total))
    y = math.exp(-2 * x * x)
    return min(1.0, max(0.0, 2 * (y - y ** 4 + y ** 9 - y ** 16)))

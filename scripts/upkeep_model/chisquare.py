"""The chi-square distribution and the test whether two lists of counts have the same shares."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Sequence, Tuple


class ChiSquare(NamedTuple):
    """statistic, degrees of freedom, p-value, and Cramér's V (0: same shares, 1: nothing in common)"""

    statistic: float
    freedom: int
    p: float
    v: float


def chi_square_tail(x: float, freedom: int) -> float:
    """P(X > x) for a chi-square variable: the upper regularized incomplete gamma function Q(freedom/2, x/2).

    Source: W. H. Press et al., "Numerical Recipes", 3rd ed., 6.2 (series below a + 1, continued
    fraction by Lentz's method above).
    """
    a, half = freedom / 2, x / 2
    if half <= 0:
        return 1.0
    scale = math.exp(-half + a * math.log(half) - math.lgamma(a))
    if half < a + 1:
        term = total = 1 / a
        for n in range(1, 10000):
            term *= half / (a + n)
            total += term
            if term < total * 1e-16:
                break
        return min(1.0, max(0.0, 1 - total * scale))
    tiny = 1e-300
    b = half + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for n in range(1, 10000):
        an = -n * (n - a)
        b += 2
        d = an * d + b
        d = 1 / (d if abs(d) > tiny else tiny)
        c = b + an / c
        c = c if abs(c) > tiny else tiny
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return min(1.0, max(0.0, scale * h))


def chi_square_point(tail: float, freedom: int) -> float:
    """The x whose upper tail is `tail` (0 < tail < 1), by bisection."""
    low, high = 0.0, 1.0
    while chi_square_tail(high, freedom) > tail:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if chi_square_tail(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def same_shares(first: Sequence[int], second: Sequence[int]) -> ChiSquare:
    """Pearson's chi-square test of homogeneity of two lists of counts over the same categories.

    Categories whose expected count is below 5 on either side are pooled into one first
    (W. G. Cochran, "Some methods for strengthening the common chi-square tests", Biometrics 10
    (1954) 417-451). With fewer than two categories left there is nothing to test: p is 1.
    """
    n1, n2 = sum(first), sum(second)
    if not n1 or not n2:
        raise ValueError("same_shares of an empty sample")
    cells = _pooled(first, second)
    if len(cells) < 2:
        return ChiSquare(0.0, 0, 1.0, 0.0)
    total = n1 + n2
    statistic = math.fsum(
        (got - column * n / total) ** 2 / (column * n / total)
        for a, b in cells
        for column in (a + b,)
        for got, n in ((a, n1), (b, n2))
    )
    freedom = len(cells) - 1
    return ChiSquare(statistic, freedom, chi_square_tail(statistic, freedom), math.sqrt(statistic / total))


def _pooled(first: Sequence[int], second: Sequence[int]) -> List[Tuple[int, int]]:
    n1, n2 = sum(first), sum(second)
    smaller = min(n1, n2) / (n1 + n2)
    kept: List[Tuple[int, int]] = []
    rare = (0, 0)
    for a, b in zip(first, second):
        if (a + b) * smaller < 5:
            rare = (rare[0] + a, rare[1] + b)
        else:
            kept.append((a, b))
    if sum(rare) == 0:
        return kept
    if sum(rare) * smaller < 5 and kept:
        # The pool itself is still too rare to be a cell of its own: it joins the smallest one.
        kept.sort(key=sum)
        kept[0] = (kept[0][0] + rare[0], kept[0][1] + rare[1])
        return kept
    return kept + [rare]

"""Shares of a whole: their interval, and whether two of them differ."""

from __future__ import annotations

import math
from typing import NamedTuple

Z95 = 1.959963984540054  # two-sided 95 % point of the standard normal distribution


class Interval(NamedTuple):
    low: float
    high: float


class Difference(NamedTuple):
    """The outcome of a two-proportion z test: the statistic and its p-value."""

    z: float
    p: float


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """The Wilson score interval of `successes` out of `n`, 95 % unless `z` says otherwise.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927) 209-212. Shapes: 0 <= successes <= n, n >= 1; both ends
    lie in [0, 1]. Unlike the normal approximation it stays sensible for shares near 0 and 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError("wilson needs 0 <= successes <= n and n >= 1")
    share, zz = successes / n, z * z
    middle = (share + zz / (2 * n)) / (1 + zz / n)
    half = z / (1 + zz / n) * math.sqrt(share * (1 - share) / n + zz / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high)


def normal_tail(z: float) -> float:
    """P(Z > z) of the standard normal distribution."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def two_proportions(x1: float, n1: int, x2: float, n2: int, sided: str = "both") -> Difference:
    """The pooled two-proportion z test of x1/n1 against x2/n2.

    sided: `both`, or `less` for the alternative x1/n1 < x2/n2, or `greater`.
    Source: J. L. Fleiss et al., "Statistical Methods for Rates and Proportions", 3rd ed.,
    chapter 2, without the continuity correction. When the pooled share is 0 or 1
    nothing differs: z is 0, and p is 1 (0.5 when one-sided).
    """
    if n1 < 1 or n2 < 1:
        raise ValueError("two_proportions needs at least one observation on both sides")
    pooled = (x1 + x2) / (n1 + n2)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2)) if 0 < pooled < 1 else 0.0
    z = (x1 / n1 - x2 / n2) / spread if spread else 0.0
    if sided == "both":
        return Difference(z, min(1.0, 2 * normal_tail(abs(z))))
    return Difference(z, normal_tail(-z) if sided == "less" else normal_tail(z))

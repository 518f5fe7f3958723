"""Correction of p-values when many tests are made at once."""

from __future__ import annotations

from typing import Dict, List, Sequence

METHODS = ("holm", "bh", "none")


def corrected(ps: Sequence[float], method: str) -> List[float]:
    """The p-values in their given order, corrected so that each may be compared with alpha directly.

    holm  bounds the chance of even one false alarm among all tests.
          S. Holm, "A simple sequentially rejective multiple test procedure",
          Scandinavian Journal of Statistics 6 (1979) 65-70.
    bh    bounds the expected share of false alarms among the alarms.
          Y. Benjamini and Y. Hochberg, JRSS B 57 (1995) 289-300.
    none  leaves them as they are.
    """
    n = len(ps)
    order = sorted(range(n), key=lambda i: ps[i])
    out = list(ps)
    if method == "holm":
        highest = 0.0
        for rank, i in enumerate(order):
            highest = max(highest, min(1.0, (n - rank) * ps[i]))
            out[i] = highest
    elif method == "bh":
        lowest = 1.0
        for rank in range(n - 1, -1, -1):
            i = order[rank]
            lowest = min(lowest, ps[i] * n / (rank + 1))
            out[i] = lowest
    elif method != "none":
        raise ValueError(f"no correction is called {method}")
    return out


def corrected_by_name(ps: Dict[str, float], method: str) -> Dict[str, float]:
    """The same for named p-values."""
    return dict(zip(ps, corrected(list(ps.values()), method)))

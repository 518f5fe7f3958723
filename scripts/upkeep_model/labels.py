"""How well predicted classes match the actual ones."""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

_SMALLEST = 1e-15  # a probability of 0 or 1 that was wrong would make the log loss infinite


class ClassScore(NamedTuple):
    """precision is None when the class was never predicted, recall when it never occurred;
    f1 is None when neither happened. support: how often it occurred."""

    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]
    support: int


class Confusion:
    """Counts of (predicted, actual) pairs."""

    def __init__(self) -> None:
        self.pairs: Dict[Tuple[str, str], int] = {}
        self.n = 0
        self.hits = 0

    def add(self, predicted: str, actual: str, times: int = 1) -> None:
        pair = (predicted, actual)
        self.pairs[pair] = self.pairs.get(pair, 0) + times
        self.n += times
        if predicted == actual:
            self.hits += times

    def merge(self, other: "Confusion") -> None:
        for (predicted, actual), times in other.pairs.items():
            self.add(predicted, actual, times)

    @property
    def accuracy(self) -> float:
        return self.hits / self.n

    def classes(self) -> List[str]:
        """Every class that was predicted or occurred, sorted."""
        return sorted({c for pair in self.pairs for c in pair})

    def by_class(self) -> Dict[str, ClassScore]:
        """Precision, recall and F1 (2TP / (2TP + FP + FN)) of every class."""
        said: Dict[str, int] = {}
        was: Dict[str, int] = {}
        right: Dict[str, int] = {}
        for (predicted, actual), times in self.pairs.items():
            said[predicted] = said.get(predicted, 0) + times
            was[actual] = was.get(actual, 0) + times
            if predicted == actual:
                right[actual] = right.get(actual, 0) + times
        found = {}
        for c in self.classes():
            hits, p, a = right.get(c, 0), said.get(c, 0), was.get(c, 0)
            found[c] = ClassScore(
                hits / p if p else None, hits / a if a else None, 2 * hits / (p + a), a
            )
        return found

    def macro(self) -> Tuple[float, float, float]:
        """Unweighted means over the classes of precision, recall and F1; an undefined one counts as 0."""
        scores = list(self.by_class().values())
        return (
            math.fsum(s.precision or 0.0 for s in scores) / len(scores),
            math.fsum(s.recall or 0.0 for s in scores) / len(scores),
            math.fsum(s.f1 or 0.0 for s in scores) / len(scores),
        )


def brier(scores: Sequence[float], events: Sequence[int]) -> float:
    """The Brier score: mean squared gap between the stated probability and what happened (0 best, 1 worst)."""
    return math.fsum((s - e) ** 2 for s, e in zip(scores, events)) / len(scores)


def log_loss(scores: Sequence[float], events: Sequence[int]) -> float:
    """Mean negative log likelihood of what happened; probabilities are clipped to [1e-15, 1 - 1e-15]."""
    def one(score: float, event: int) -> float:
        p = min(1 - _SMALLEST, max(_SMALLEST, score))
        return -math.log(p if event else 1 - p)

    return math.fsum(one(s, e) for s, e in zip(scores, events)) / len(scores)


def area_under_curve(scores: Sequence[float], events: Sequence[int]) -> Optional[float]:
    """The area under the ROC curve; None unless events and non-events both occurred.

    It is the Mann-Whitney statistic with mid-ranks for ties. Source: J. A. Hanley and B. J. McNeil,
    Radiology 143 (1982) 29-36.
    """
    positives = sum(1 for e in events if e)
    negatives = len(events) - positives
    if not positives or not negatives:
        return None
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    ranks = 0.0
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and scores[order[end + 1]] == scores[order[at]]:
            end += 1
        middle = (at + end) / 2 + 1
        ranks += middle * sum(1 for k in range(at, end + 1) if events[order[k]])
        at = end + 1
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)

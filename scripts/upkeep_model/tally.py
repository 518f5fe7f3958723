"""What is counted over a set of requests, in memory that does not grow with the text of the rows."""

from __future__ import annotations

from array import array
from typing import Dict, List, NamedTuple, Optional, Tuple

from .broke import Broke
from .labels import Confusion
from .proportions import Interval, wilson
from .requests import Request
from .samples import quantile

MAX_CLASSES = 200
_BINARY = ({"0", "1"}, {"false", "true"}, {"False", "True"}, {"no", "yes"}, {"negative", "positive"}, {"n", "y"})

Group = Tuple[str, str]  # model and version


class Percentiles(NamedTuple):
    """Milliseconds; n is how many requests had a number."""

    n: int
    mean: float
    p50: float
    p95: float
    p99: float
    highest: float


class Tally:
    """Counts, latencies and, unless `scores` is false, scores of some requests.

    failed of known   failures among the requests whose status is known
    labelled          requests with both a prediction and an actual class: confusion.n
    oldest, newest, newest_labelled   instants; 0 when there is none
    """

    def __init__(self, scores: bool = True) -> None:
        self._keeps_scores = scores
        self.requests = 0
        self.known = 0
        self.failed = 0
        self.predicted = 0
        self.confusion = Confusion()
        self.latency = array("d")
        self.response = array("d")
        self.scores = array("d")
        self.scored: List[Tuple[str, str]] = []
        self._pairs: Dict[Tuple[str, str], Tuple[str, str]] = {}
        self.oldest = self.newest = self.newest_labelled = 0.0

    def add(self, r: Request) -> None:
        self.requests += 1
        self.newest = max(self.newest, r.time)
        self.oldest = min(self.oldest or r.time, r.time)
        if r.failed is not None:
            self.known += 1
            self.failed += r.failed
        if r.latency is not None:
            self.latency.append(r.latency)
        if r.response is not None:
            self.response.append(r.response)
        if r.predicted is None:
            return
        self.predicted += 1
        if r.actual is None:
            return
        self.newest_labelled = max(self.newest_labelled, r.time)
        self.confusion.add(r.predicted, r.actual)
        if len(self.confusion.pairs) > MAX_CLASSES ** 2 or (
            self.confusion.n % 1000 == 0 and len(self.confusion.classes()) > MAX_CLASSES
        ):
            raise Broke(
                f"more than {MAX_CLASSES} different classes in the columns predicted and actual",
                "these scripts judge classification; map the class with --column predicted=NAME",
            )
        if r.score is not None and self._keeps_scores:
            self.scores.append(r.score)
            # One tuple for each pair of classes instead of one for each row.
            pair = (r.predicted, r.actual)
            self.scored.append(self._pairs.setdefault(pair, pair))

    def merge(self, other: "Tally") -> None:
        self.requests += other.requests
        self.known += other.known
        self.failed += other.failed
        self.predicted += other.predicted
        self.confusion.merge(other.confusion)
        self.latency.extend(other.latency)
        self.response.extend(other.response)
        self.scores.extend(other.scores)
        self.scored.extend(other.scored)
        self.newest = max(self.newest, other.newest)
        self.newest_labelled = max(self.newest_labelled, other.newest_labelled)
        self.oldest = min(self.oldest or other.oldest, other.oldest or self.oldest)

    @property
    def error_rate(self) -> Optional[float]:
        return self.failed / self.known if self.known else None

    @property
    def accuracy(self) -> Optional[float]:
        return self.confusion.accuracy if self.confusion.n else None

    def accuracy_interval(self) -> Interval:
        return wilson(self.confusion.hits, self.confusion.n)

    def events(self, score_of: str, positive: Optional[str]) -> Optional[List[int]]:
        """1 for each scored row where what the score speaks of came true, 0 where not.

        score_of  `positive`: the score is the probability of the class `positive`, which is taken from the
                  usual pairs (0/1, false/true, no/yes …) when None; `predicted`: of the predicted class.
        None when the positive class is not known.
        """
        if score_of == "predicted":
            return [int(p == a) for p, a in self.scored]
        if positive is None:
            positive = positive_class({c for pair in self.scored for c in pair})
        if positive is None:
            return None
        return [int(a == positive) for _, a in self.scored]


def positive_class(classes: "set[str]") -> Optional[str]:
    """Which of two classes with a usual name is the positive one, or None."""
    for pair in _BINARY:
        if classes and classes <= pair:
            return max(pair)
    return None


def percentiles(values: "array[float]") -> Optional[Percentiles]:
    """The percentiles of `values`, or None when there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return Percentiles(
        len(ordered), sum(ordered) / len(ordered),
        quantile(ordered, 0.5), quantile(ordered, 0.95), quantile(ordered, 0.99), ordered[-1],
    )


def by_group(groups: Dict[Group, Tally]) -> List[Tuple[Group, Tally]]:
    """The groups, the one with most requests first."""
    return sorted(groups.items(), key=lambda item: (-item[1].requests, item[0]))


def pooled(tallies: "list[Tally]") -> Tally:
    """One tally of all."""
    whole = Tally()
    for tally in tallies:
        whole.merge(tally)
    return whole

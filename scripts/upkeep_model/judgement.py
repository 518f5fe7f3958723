"""Judging one version of one model against its limits.

One rule for every limit: beyond it is a warning, and critical when the 95 % interval of the measurement
lies beyond it as a whole, so that a bad day of few requests is not called more than it is.
"""

from __future__ import annotations

import argparse
from array import array
from typing import Optional

from . import options
from .proportions import two_proportions, wilson
from .result import CRITICAL, Result, WARNING
from .tally import Tally, percentiles
from .wording import Slugs, percent, shown


def limit_options(parser: options.Parser) -> None:
    """The limits that `Judge` reads; the defaults are the usual aims of a model behind an API."""
    add = parser.add_argument_group("limits").add_argument
    add("--min-accuracy", type=options.share, default="90%", metavar="SHARE", help="default: 90%%")
    add("--judge", choices=("point", "lower"), default="point",
        help="compare the accuracy itself, or the lower end of its interval (default: point)")
    add("--max-latency", type=options.length, default="100ms", metavar="T",
        help="for the 95th percentile of latency_ms (default: 100ms)")
    add("--max-response", type=options.length, default="200ms", metavar="T",
        help="for the 95th percentile of response_ms (default: 200ms)")
    add("--max-error-rate", type=options.share, default="0.1%", metavar="SHARE", help="default: 0.1%%")
    add("--min-sample", type=options.whole, default=100, metavar="N",
        help="fewer requests or labelled rows than N are too few to judge (default: 100)")


def name(model: str, version: str) -> str:
    """How people read a model and a version; "-" stands for a column that the log does not have."""
    if model == "-" and version == "-":
        return "the model"
    return shown(model if version == "-" else f"{model} {version}")


def slug(slugs: Slugs, model: str, version: str) -> str:
    """The name of the same in values and findings: MODEL.VERSION, or `model` where the log says neither."""
    return slugs.of("model" if model == "-" else model, *([] if version == "-" else [version]))


class Judge:
    """Writes findings about one group of requests; `ending` ends their ids, `who` begins their texts."""

    def __init__(self, result: Result, args: argparse.Namespace, ending: str, who: str) -> None:
        self.result = result
        self.args = args
        self.ending = ending
        self.who = who

    def _finding(self, what: str, severity: str, text: str) -> None:
        self.result.finding(f"{what}.{self.ending}", severity, f"{self.who}: {text}")

    def enough(self, t: Tally) -> bool:
        """Whether there are enough requests to judge anything; if not, that is a finding."""
        if t.requests >= self.args.min_sample:
            return True
        self._finding("too-few-requests", WARNING,
                      f"{t.requests} requests are too few to judge (at least {self.args.min_sample}): "
                      "unknown, not good; take a longer --window or a smaller --min-sample")
        return False

    def accuracy(self, t: Tally) -> None:
        limit = self.args.min_accuracy
        n = t.confusion.n
        if not t.predicted:
            return
        if n < self.args.min_sample:
            self._finding("too-few-labels", WARNING,
                          f"{n} labelled rows are too few to judge accuracy (at least {self.args.min_sample}): "
                          f"unknown, not good; {t.predicted - n} predictions wait for their label")
            return
        low, high = t.accuracy_interval()
        share = t.confusion.accuracy
        judged = low if self.args.judge == "lower" else share
        # The KPI is "more than 90 %": a value at the limit has missed it only when it lies below.
        if judged < limit:
            sure = high < limit
            self._finding("accuracy", CRITICAL if sure else WARNING,
                          f"accuracy {percent(share)} is below {percent(limit)} "
                          f"(95 % interval {percent(low)} to {percent(high)}, {n} labelled)"
                          + ("" if sure else ", which may still be chance"))

    def latency(self, t: Tally) -> None:
        self._slow("latency", "model latency", t.latency, self.args.max_latency)
        self._slow("response", "response time", t.response, self.args.max_response)

    def _slow(self, what: str, words: str, values: "array[float]", limit: float) -> None:
        p = percentiles(values)
        if p is None or p.p95 <= limit * 1000:
            return
        over = sum(1 for v in values if v > limit * 1000)
        # The 95th percentile exceeds the limit for sure when surely more than 5 % of requests do.
        sure = wilson(over, p.n).low > 0.05
        self._finding(what, CRITICAL if sure else WARNING,
                      f"{words} p95 {p.p95:.0f} ms is above {limit * 1000:.0f} ms "
                      f"({percent(over / p.n)} of {p.n} requests took longer)")

    def errors(self, t: Tally) -> None:
        limit = self.args.max_error_rate
        if t.error_rate is None or t.error_rate <= limit:
            return
        low, high = wilson(t.failed, t.known)
        sure = low > limit
        self._finding("errors", CRITICAL if sure else WARNING,
                      f"error rate {percent(t.error_rate, 2)} is above {percent(limit, 2)} "
                      f"({t.failed} of {t.known} requests, 95 % interval {percent(low, 2)} to {percent(high, 2)})")

    def change(self, t: Tally, before: Optional[Tally]) -> None:
        """Compares with the requests of the same model, all versions, in the window before."""
        if before is None or before.requests < self.args.min_sample:
            return
        n, m = t.confusion.n, before.confusion.n
        if n >= self.args.min_sample and m >= self.args.min_sample:
            now, then = t.confusion.accuracy, before.confusion.accuracy
            p = two_proportions(t.confusion.hits, n, before.confusion.hits, m, "less").p
            if then - now > self.args.max_drop + 1e-9 and p < self.args.alpha:
                self._finding("accuracy-drop", WARNING,
                              f"accuracy fell from {percent(then)} to {percent(now)} against the window before "
                              f"(chance explains that with p = {p:.2g})")
        a, b = percentiles(t.latency), percentiles(before.latency)
        if a and b and b.n >= self.args.min_sample and a.p95 > b.p95 * (1 + self.args.max_slower):
            self._finding("slower", WARNING,
                          f"latency p95 rose from {b.p95:.0f} ms to {a.p95:.0f} ms against the window before")

"""Whether one model needs to be trained anew: reasons, and the recommendation they add up to."""

from __future__ import annotations

import argparse
import math
from typing import Dict, List, NamedTuple, Optional

from .drift import Outcome
from .models import Model
from .proportions import normal_tail, two_proportions, wilson
from .result import CRITICAL, INFO, WARNING
from .tally import Tally
from .wording import listed, percent, span

KEEP, WATCH, RETRAIN = "keep", "watch", "retrain"
ORDER = (KEEP, WATCH, RETRAIN)
ROUNDING = 1e-9  # 0.955 - 0.95 is a little more than 0.005 in binary


class Reason(NamedTuple):
    """One reason to `watch` or `retrain`, as a finding."""

    advice: str
    id: str
    severity: str
    text: str


class Degradation(NamedTuple):
    """drop  accuracy at training minus accuracy now; p: that chance explains a drop of this size or more"""

    drop: float
    p: float
    test: str


def degradation(live: Model, tally: Tally) -> Optional[Degradation]:
    """How much worse the model is than at its training; None without an accuracy of then or labels of now.

    With the size of the test set it is a one-sided two-proportion z test; without it the accuracy of then is
    taken as exact, and the test is the one-sample z test against it.
    """
    if live.accuracy is None or not tally.confusion.n:
        return None
    n, hits = tally.confusion.n, tally.confusion.hits
    drop = live.accuracy - hits / n
    if live.n is not None:
        found = two_proportions(hits, n, live.accuracy * live.n, live.n, "less")
        return Degradation(drop, found.p, "two-proportion z test")
    spread = math.sqrt(live.accuracy * (1 - live.accuracy) / n)
    if not spread:
        # At training it was never wrong, or always: one deviation is already certain.
        return Degradation(drop, 0.0 if drop > 0 else 1.0, "one-sample z test")
    return Degradation(drop, normal_tail(drop / spread), "one-sample z test")


def reasons(
    args: argparse.Namespace,
    live: Model,
    tally: Tally,
    age: float,
    new_labels: int,
    drifted: Dict[str, Outcome],
) -> List[Reason]:
    """Every reason there is against keeping `live` as it is."""
    return (
        _by_accuracy(args, live, tally)
        + _by_age(args, live, age, new_labels)
        + _by_drift(args, drifted)
    )


def advice(found: List[Reason]) -> str:
    """The strongest advice among the reasons: keep, watch or retrain."""
    return max((r.advice for r in found), key=ORDER.index, default=KEEP)


def _by_accuracy(args: argparse.Namespace, live: Model, tally: Tally) -> List[Reason]:
    n = tally.confusion.n
    if n < args.min_sample:
        return [Reason(WATCH, "too-few-labels", WARNING,
                       f"{n} labelled rows in the window are too few to judge accuracy (at least {args.min_sample}): "
                       "unknown, not good")]
    found: List[Reason] = []
    now = tally.confusion.accuracy
    low, high = wilson(tally.confusion.hits, n)
    if now < args.min_accuracy:
        sure = high < args.min_accuracy
        found.append(Reason(RETRAIN if sure else WATCH, "below-limit", CRITICAL if sure else WARNING,
                            f"accuracy {percent(now)} is below {percent(args.min_accuracy)} "
                            f"(95 % interval {percent(low)} to {percent(high)}, {n} labelled)"))
    worse = degradation(live, tally)
    if worse is None:
        found.append(Reason(WATCH, "accuracy-at-training-unknown", WARNING,
                            f"the accuracy of {live.version} at training is not known, so degradation cannot be judged"))
    elif worse.drop > args.margin + ROUNDING:
        sure = worse.p < args.alpha
        found.append(Reason(RETRAIN if sure else WATCH, "degraded", WARNING if sure else INFO,
                            f"accuracy is {percent(now)}, {100 * worse.drop:.1f} points below the {percent(live.accuracy or 0)} "
                            f"at training (margin {100 * args.margin:.1f}; {worse.test}: p = {worse.p:.2g})"
                            + ("" if sure else ", which may still be chance")))
    return found


def _by_age(args: argparse.Namespace, live: Model, age: float, new_labels: int) -> List[Reason]:
    if age <= args.max_training_age:
        return []
    text = f"{live.version} was trained {span(age)} ago, the limit is {span(args.max_training_age)}; "
    if new_labels >= args.min_new_labels:
        return [Reason(RETRAIN, "old", WARNING, text + f"{new_labels} rows have been labelled since")]
    return [Reason(WATCH, "old-without-labels", WARNING,
                   text + f"but only {new_labels} rows have been labelled since (at least {args.min_new_labels})")]


def _by_drift(args: argparse.Namespace, drifted: Dict[str, Outcome]) -> List[Reason]:
    hard = [n for n, o in drifted.items() if o.psi >= args.psi.crit and o.psi > o.noise]
    soft = [n for n, o in drifted.items() if o.psi >= args.psi.warn and n not in hard]
    found: List[Reason] = []
    if hard:
        found.append(Reason(RETRAIN, "drift", WARNING,
                            f"stability index at or above {args.psi.crit:g}: {_with_index(drifted, hard)}; "
                            "train a candidate and compare it on one test set"))
    if soft:
        found.append(Reason(WATCH, "mild-drift", INFO,
                            f"stability index at or above {args.psi.warn:g}: {_with_index(drifted, soft)}"))
    return found


def _with_index(drifted: Dict[str, Outcome], names: List[str]) -> str:
    return listed([f"{n} {drifted[n].psi:.2f}" for n in sorted(names, key=lambda n: -drifted[n].psi)])

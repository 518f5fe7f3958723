#!/usr/bin/env python3
"""Says whether a model should be trained anew: its age, how much worse it got, drift, and new labels."""

from __future__ import annotations

import argparse
import os
import sys
from array import array
from typing import Dict, List, Optional

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, drift, instants, models, options, requests, retraining, sources  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.instants import Window  # noqa: E402
from upkeep_model.models import Model  # noqa: E402
from upkeep_model.proportions import two_proportions  # noqa: E402
from upkeep_model.result import INFO, Result, WARNING  # noqa: E402
from upkeep_model.tally import Tally  # noqa: E402
from upkeep_model.tables import Table  # noqa: E402
from upkeep_model.wording import Slugs, listed, percent, shown, span  # noqa: E402

DEFAULT = "data/predictions.csv"
DEFAULT_MODELS = "models/models.csv"
DEFAULT_REFERENCE = "data/reference.csv"

EPILOG = """
The list of models has one row for each training: model, version, trained_at, and where known accuracy (0 to 1)
and n of the test set at training, and role (incumbent, candidate or empty). Without roles the version that
answers now is the incumbent. A name that ends in .json is read as JSON: an object, a list, or {"models": [...]}.

recommendation of a model:
  retrain  worse than at training by more than --margin and not by chance (one-sided two-proportion z test),
           or surely below --min-accuracy, or a stability index at its second limit, or older than
           --max-training-age with at least --min-new-labels rows labelled since
  watch    one of these is near, or cannot be judged
  keep     none of it
Drift is that of the features; one reference holds for all models, so use --model where they differ.
A recommendation is no promotion: train a candidate, then judge both on one test set (--promote-margin).

values: recommendation (0 keep, 1 watch, 2 retrain; the strongest of all models), and with .MODEL behind them
age_seconds, accuracy, labelled, accuracy_at_training, accuracy_drop, accuracy_drop_p, new_labels; psi_max,
drifted_features, newest_age_seconds. outputs: recommendation, recommendation.MODEL, incumbent.MODEL.

examples:
  evaluate_retraining_needs.py --predictions scripts/data/predictions.csv --models scripts/data/models.csv \\
      --reference scripts/data/reference.csv --now newest
  evaluate_retraining_needs.py --predictions log.csv --models model.json --margin 1% --max-training-age 90d
  evaluate_retraining_needs.py --sqlite app.db --table predictions --models-table trainings --json
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    options.input_options(p, DEFAULT)
    options.side_table(p, "models", "list of models")
    options.time_options(p, "7d")
    drift.drift_options(p)
    add = p.add_argument_group("retraining").add_argument
    add("--margin", type=options.share, default="2%", metavar="SHARE",
        help="how far accuracy may lie below that at training (default: 2%% points)")
    add("--min-accuracy", type=options.share, default="90%", metavar="SHARE", help="default: 90%%")
    add("--min-sample", type=options.whole, default=100, metavar="N",
        help="fewer labelled rows than N are too few to judge (default: 100)")
    add("--max-training-age", type=options.length, default="30d", metavar="T", help="default: 30d")
    add("--min-new-labels", type=options.whole, default=1000, metavar="N",
        help="labelled rows since training that make a new one worth it (default: 1000)")
    add("--promote-margin", type=options.share, default="0.5%", metavar="SHARE",
        help="how much better a candidate must be than the incumbent (default: 0.5%% points)")
    return p


class Seen:
    """What the log says about one model: tallies by version in the window, and times of all labelled rows."""

    def __init__(self) -> None:
        self.versions: Dict[str, Tally] = {}
        self.labelled = array("d")
        self.newest = 0.0
        self.serving: Optional[str] = None


def measure(args: argparse.Namespace) -> Result:
    listed_models = models.read(args, DEFAULT_MODELS)
    version, args.model_version = args.model_version, None  # the log is needed with all versions
    log = requests.Requests(sources.predictions(args, DEFAULT), args)
    reference = sources.side(args, "reference", DEFAULT_REFERENCE)
    now = log.now(args.now)
    window = requests.windows(now, args.window, 0)[0]
    seen = read_log(log, window, min(m.trained_at for m in listed_models))
    result = Result()
    result.output("window_start", instants.written(window.start))
    result.output("window_end", instants.written(now))
    log.judge_age(result, now, args.max_age)
    slugs = Slugs()
    advice: Dict[str, str] = {}
    for model in sorted({m.model for m in listed_models}):
        of_model = [m for m in listed_models if m.model == model]
        found = seen.get(model) or (seen.get("-") if not log.has("model") else None) or Seen()
        live = choose(result, of_model, found, version, slugs.of(model))
        if live is None:
            advice[model] = retraining.WATCH
            continue
        drifted = measure_drift(result, args, log, window, reference, model, slugs.of(model))
        advice[model] = judge(result, args, now, live, found, drifted, slugs.of(model))
        judge_candidate(result, args, of_model, live, slugs.of(model))
    note_unlisted(result, log, seen, listed_models)
    conclude(result, advice, slugs)
    return result


def read_log(log: requests.Requests, window: Window, first_training: float) -> Dict[str, Seen]:
    seen: Dict[str, Seen] = {}
    for _, r in log.between(Window(min(window.start, first_training), window.end)):
        found = seen.setdefault(r.model, Seen())
        if r.time >= found.newest:
            found.newest, found.serving = r.time, r.version
        if r.predicted is not None and r.actual is not None:
            found.labelled.append(r.time)
        if r.time > window.start:
            found.versions.setdefault(r.version, Tally()).add(r)
    return seen


def choose(result: Result, of_model: List[Model], seen: Seen, version: Optional[str], slug: str) -> Optional[Model]:
    name = of_model[0].model
    if version is not None:
        live = next((m for m in of_model if m.version == version), None)
        if live is None:
            raise Broke(
                f'{shown(name)} has no version "{shown(version)}"', f"it has {listed([m.version for m in of_model])}"
            )
        return live
    live = models.incumbent(of_model, seen.serving)
    if live is None:
        result.finding(f"incumbent-unknown.{slug}", WARNING,
                       f"{shown(name)}: version {shown(seen.serving)} answers but is not in the list of models, which has "
                       f"{listed([m.version for m in of_model])}; add it, or name one with --model-version")
    return live


def measure_drift(
    result: Result, args: argparse.Namespace, log: requests.Requests, window: Window, reference: Optional[Table],
    model: str, slug: str,
) -> Dict[str, drift.Outcome]:
    if reference is None:
        result.finding(f"drift-not-measured.{slug}", INFO,
                       "drift was not measured: name the training features with --reference FILE")
        return {}
    only = argparse.Namespace(**{**vars(args), "model": model if log.has("model") else None})
    narrow = requests.Requests(log.table, only)
    if not any(True for _ in narrow.timed()):
        return {}
    found = drift.compare(only, narrow, window, reference, predictions=False)
    own = found.outcomes
    if found.absent:
        result.finding(f"features-absent.{slug}", WARNING,
                       f"{shown(model)}: not in the log, and so not judged for drift: {listed(found.absent)}")
    if not own:
        result.finding(f"drift-too-few.{slug}", WARNING,
                       f"{shown(model)}: {found.rows} rows against {found.reference_rows} in the reference are too few "
                       f"to judge drift (at least {args.drift_min_sample}): unknown, not good")
        return {}
    result.value(f"psi_max.{slug}", max(o.psi for o in own.values()))
    result.value(f"drifted_features.{slug}", sum(1 for o in own.values() if o.psi >= args.psi.warn))
    return own


def judge(
    result: Result, args: argparse.Namespace, now: float, live: Model, seen: Seen,
    drifted: Dict[str, drift.Outcome], slug: str,
) -> str:
    # A log without versions is about the only one there is.
    tally = seen.versions.get(live.version) or seen.versions.get("-") or Tally()
    age = now - live.trained_at
    new_labels = sum(1 for t in seen.labelled if t > live.trained_at)
    result.output(f"incumbent.{slug}", live.version)
    result.output(f"trained_at.{slug}", instants.written(live.trained_at))
    result.value(f"age_seconds.{slug}", max(0.0, age))
    result.value(f"new_labels.{slug}", new_labels)
    result.value(f"labelled.{slug}", tally.confusion.n)
    result.value(f"accuracy.{slug}", tally.accuracy)
    result.value(f"accuracy_at_training.{slug}", live.accuracy)
    worse = retraining.degradation(live, tally)
    if worse is not None:
        result.value(f"accuracy_drop.{slug}", worse.drop)
        result.value(f"accuracy_drop_p.{slug}", worse.p)
    if age < 0:
        result.finding(f"trained-in-the-future.{slug}", WARNING,
                       f"{shown(live.model)} {shown(live.version)}: trained_at {instants.written(live.trained_at)} lies "
                       "in the future; check clock and time zone")
    found = retraining.reasons(args, live, tally, age, new_labels, drifted)
    for reason in found:
        result.finding(f"{reason.id}.{slug}", reason.severity,
                       f"{reason.advice} {shown(live.model)} {shown(live.version)}: {reason.text}")
    return retraining.advice(found)


def judge_candidate(result: Result, args: argparse.Namespace, of_model: List[Model], live: Model, slug: str) -> None:
    rival = models.candidate(of_model, live)
    if rival is None or rival.accuracy is None or live.accuracy is None:
        return
    gain = rival.accuracy - live.accuracy
    result.value(f"candidate_gain.{slug}", gain)
    text = (f"candidate {shown(rival.version)} had {percent(rival.accuracy, 2)} at training, the incumbent "
            f"{shown(live.version)} {percent(live.accuracy, 2)} (margin {100 * args.promote_margin:.2f} points)")
    if rival.n and live.n:
        p = two_proportions(rival.accuracy * rival.n, rival.n, live.accuracy * live.n, live.n, "greater").p
        text += f", p = {p:.2g}"
    if gain > args.promote_margin + retraining.ROUNDING:
        result.finding(f"candidate-better.{slug}", INFO, text + ": judge both on one test set, then promote it")
    else:
        result.finding(f"candidate-not-better.{slug}", INFO, text + ": no reason to promote it")


def note_unlisted(result: Result, log: requests.Requests, seen: Dict[str, Seen], known: List[Model]) -> None:
    unlisted = sorted(set(seen) - {m.model for m in known}) if log.has("model") else []
    if unlisted:
        result.finding("unlisted-models", WARNING,
                       f"in the log but not in the list of models, and not judged: {listed(unlisted)}")


def conclude(result: Result, advice: Dict[str, str], slugs: Slugs) -> None:
    strongest = max(advice.values(), key=retraining.ORDER.index)
    result.value("recommendation", retraining.ORDER.index(strongest))
    result.output("recommendation", strongest)
    for model, word in advice.items():
        result.output(f"recommendation.{slugs.of(model)}", word)
    parts = []
    for model, word in advice.items():
        age = result.values.get(f"age_seconds.{slugs.of(model)}")
        parts.append(f"{word} {shown(model)}" + (f" (trained {span(age)} ago)" if age is not None else ""))
    result.summary = "; ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

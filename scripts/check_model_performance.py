#!/usr/bin/env python3
"""Judges how well models in production predict, and how fast: accuracy, errors, latency, change."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Dict, List

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, instants, labels, options, requests, sources  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.judgement import Judge, limit_options, name, slug  # noqa: E402
from upkeep_model.result import INFO, Result, WARNING  # noqa: E402
from upkeep_model.tally import Group, Tally, by_group, percentiles, pooled  # noqa: E402
from upkeep_model.wording import Slugs, listed, percent, span  # noqa: E402

DEFAULT = "data/predictions.csv"
MAX_GROUPS = 20  # models and versions with values of their own
MAX_CLASS_VALUES = 20

EPILOG = """
columns of the prediction log:
  timestamp    needed: ISO 8601 (UTC without a zone) or Unix time
  predicted, actual   classes; `actual` is empty until the label is known
  model, version      judged apart from each other
  score        probability of the positive class (see --score-of)
  latency_ms   what the model took      response_ms   what the whole answer took
  status       HTTP code, or a word such as ok or error; 500 and above is an error

rule of judgement: an accuracy, an error rate or a 95th percentile beyond its limit is a warning, and
critical when its 95 % interval (Wilson) lies beyond the limit as a whole. Fewer rows than --min-sample
are a warning: too few to judge.

values: accuracy, accuracy_low, accuracy_high, labelled, label_share, precision_macro, recall_macro,
f1_macro, precision.CLASS, recall.CLASS, f1.CLASS, brier, log_loss, auc (if both outcomes occurred),
latency_p50_seconds (p95, p99), response_p50_seconds (p95, p99), error_rate, requests, newest_age_seconds,
baseline_*, and for each model and version accuracy.MODEL.VERSION, accuracy_low…, accuracy_high…,
labelled…, latency_p95_seconds…, response_p95_seconds…, error_rate…, requests….

examples:
  check_model_performance.py --predictions scripts/data/predictions.csv --now newest
  check_model_performance.py --predictions log.csv.gz --window 24h --baseline 7d --min-accuracy 93%
  check_model_performance.py --sqlite app.db --table predictions --column timestamp=created_at \\
      --column model=model_name --json
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    options.input_options(p, DEFAULT)
    options.time_options(p, "7d")
    limit_options(p)
    group = p.add_argument_group("comparison with the time before")
    add = group.add_argument
    add("--baseline", type=options.length_or_none, metavar="T",
        help="length of the window before, `0` for none (default: as long as --window)")
    add("--max-drop", type=options.share, default="1%", metavar="SHARE",
        help="accuracy may fall by this much (default: 1%% points)")
    add("--max-slower", type=options.share, default="25%", metavar="SHARE",
        help="the 95th percentile of latency may grow by this share (default: 25%%)")
    add("--alpha", type=options.share, default="0.01", metavar="P",
        help="a fall counts when chance explains it with less than P (default: 0.01)")
    group = p.add_argument_group("scores")
    add = group.add_argument
    add("--positive", metavar="CLASS", help="the class whose probability the score is (default: 1, true or yes)")
    add("--score-of", choices=("positive", "predicted"), default="positive",
        help="whether the score is the probability of the positive or of the predicted class")
    add("--retired-after", type=options.length, default="24h", metavar="T",
        help="a version without requests for T, while another one of the model has some, is not judged (default: 24h)")
    return p


def measure(args: argparse.Namespace) -> Result:
    log = requests.Requests(sources.predictions(args, DEFAULT), args)
    _need_something(log)
    now = log.now(args.now)
    baseline = args.window if args.baseline is None else args.baseline
    windows = requests.windows(now, args.window, baseline)
    current: Dict[Group, Tally] = {}
    before: Dict[str, Tally] = {}
    for number, r in log.between(*windows):
        if number == 0:
            current.setdefault((r.model, r.version), Tally()).add(r)
        else:
            before.setdefault(r.model, Tally()).add(r)
    result = Result()
    result.output("window_start", instants.written(windows[0].start))
    result.output("window_end", instants.written(now))
    log.judge_age(result, now, args.max_age)
    if not current:
        result.value("requests", 0)
        result.finding("no-requests", WARNING,
                       f"no requests in the {span(args.window)} before {instants.written(now)}: nothing was judged")
        result.summary = "no requests in the window, nothing was judged"
        return result
    whole = pooled(list(current.values()))
    record(result, whole, "")
    if before:
        _record_baseline(result, pooled(list(before.values())))
    if len({model for model, _ in current}) == 1:
        _record_classes(result, whole)
    _record_scores(result, whole, args)
    _judge_groups(result, args, now, current, before)
    _say_what_is_missing(result, log, whole)
    result.summary = _summary(whole, result)
    return result


def _need_something(log: requests.Requests) -> None:
    # A log with neither labels nor times nor states cannot be judged: name the column that is wanted first.
    if not any(log.has(c) for c in ("latency_ms", "response_ms", "status")):
        log.table.need("predicted")
        log.table.need("actual")
    if log.has("predicted") != log.has("actual"):
        log.table.need("predicted")
        log.table.need("actual")


def record(result: Result, t: Tally, suffix: str) -> None:
    """Records the measurements of `t`; with a suffix (".MODEL.VERSION") only the main ones."""
    result.value("requests" + suffix, t.requests)
    result.value("error_rate" + suffix, t.error_rate)
    result.value("labelled" + suffix, t.confusion.n)
    result.value("accuracy" + suffix, t.accuracy)
    if t.accuracy is not None:
        interval = t.accuracy_interval()
        result.value("accuracy_low" + suffix, interval.low)
        result.value("accuracy_high" + suffix, interval.high)
    for what, values in (("latency", t.latency), ("response", t.response)):
        p = percentiles(values)
        if p is None:
            continue
        result.value(f"{what}_p95_seconds{suffix}", p.p95 / 1000)
        if not suffix:
            result.value(f"{what}_p50_seconds", p.p50 / 1000)
            result.value(f"{what}_p99_seconds", p.p99 / 1000)
    if not suffix:
        result.value("label_share", t.confusion.n / t.predicted if t.predicted else None)
        if t.newest_labelled:
            result.output("labels_through", instants.written(t.newest_labelled))


def _record_baseline(result: Result, t: Tally) -> None:
    result.value("baseline_requests", t.requests)
    result.value("baseline_labelled", t.confusion.n)
    result.value("baseline_accuracy", t.accuracy)
    result.value("baseline_error_rate", t.error_rate)
    p = percentiles(t.latency)
    result.value("baseline_latency_p95_seconds", p.p95 / 1000 if p else None)


def _record_classes(result: Result, t: Tally) -> None:
    if not t.confusion.n:
        return
    precision, recall, f1 = t.confusion.macro()
    result.value("precision_macro", precision)
    result.value("recall_macro", recall)
    result.value("f1_macro", f1)
    scores = t.confusion.by_class()
    if len(scores) > MAX_CLASS_VALUES:
        result.finding("many-classes", INFO, f"{len(scores)} classes: only the macro means are recorded")
        return
    slugs = Slugs()
    for label, score in scores.items():
        ending = slugs.of(label)
        result.value(f"precision.{ending}", score.precision)
        result.value(f"recall.{ending}", score.recall)
        result.value(f"f1.{ending}", score.f1)


def _record_scores(result: Result, t: Tally, args: argparse.Namespace) -> None:
    if not t.scores:
        return
    if args.positive is not None and args.positive not in t.confusion.classes():
        raise Broke(
            f'--positive "{args.positive}" is not among the classes {listed(t.confusion.classes())}',
            "name one of them", code=2,
        )
    events = t.events(args.score_of, args.positive)
    if events is None:
        result.finding("scores-not-judged", INFO,
                       f"the scores were not judged: classes {listed(t.confusion.classes())}, and none is known to be "
                       "the positive one; say --positive CLASS or --score-of predicted")
        return
    result.value("brier", labels.brier(t.scores, events))
    result.value("log_loss", labels.log_loss(t.scores, events))
    result.value("auc", labels.area_under_curve(t.scores, events))


def _judge_groups(
    result: Result, args: argparse.Namespace, now: float, current: Dict[Group, Tally], before: Dict[str, Tally]
) -> None:
    groups = by_group(current)
    slugs = Slugs()
    retired: List[str] = []
    for (model, version), tally in groups[:MAX_GROUPS]:
        ending = slug(slugs, model, version)
        record(result, tally, "." + ending)
        if _is_retired(args, now, model, version, current):
            retired.append(name(model, version))
            continue
        judge = Judge(result, args, ending, name(model, version))
        if judge.enough(tally):
            judge.accuracy(tally)
            judge.latency(tally)
            judge.errors(tally)
            judge.change(tally, before.get(model))
    if retired:
        result.finding("retired-versions", INFO,
                       f"no longer in use and not judged: {listed(retired)} (no request for {span(args.retired_after)})")
    if len(groups) > MAX_GROUPS:
        result.finding("many-models", WARNING,
                       f"{len(groups)} models and versions: only the {MAX_GROUPS} with most requests were judged; "
                       "run the script once for each --model")
    result.output("model", groups[0][0][0])
    result.output("version", groups[0][0][1])


def _is_retired(
    args: argparse.Namespace, now: float, model: str, version: str, current: Dict[Group, Tally]
) -> bool:
    newest = current[model, version].newest
    others = [t.newest for (m, v), t in current.items() if m == model and v != version]
    return now - newest > args.retired_after and any(o > newest for o in others)


def _say_what_is_missing(result: Result, log: requests.Requests, whole: Tally) -> None:
    absent = [c for c in ("predicted", "latency_ms", "response_ms", "status") if not log.has(c)]
    if absent:
        result.finding("columns-absent", INFO,
                       f"not judged, as the log has no column {listed(absent)}; map one with --column OURS=THEIRS")
    if log.has("status") and whole.known < whole.requests:
        result.finding("status-missing", WARNING if whole.known < 0.95 * whole.requests else INFO,
                       f"{whole.requests - whole.known} of {whole.requests} requests have no status; "
                       "the error rate is that of the others")


def _summary(t: Tally, result: Result) -> str:
    parts: List[str] = []
    if t.accuracy is not None:
        low, high = t.accuracy_interval()
        parts.append(f"accuracy {percent(t.accuracy)} ({percent(low)} to {percent(high)}, {t.confusion.n} labelled)")
    p = percentiles(t.latency)
    if p:
        parts.append(f"latency p95 {p.p95:.0f} ms")
    if t.error_rate is not None:
        parts.append(f"errors {percent(t.error_rate, 2)}")
    bad = sum(1 for f in result.findings if f["severity"] != INFO)
    text = ", ".join(parts) or f"{t.requests} requests"
    return f"{text}; {bad} finding{'s' if bad != 1 else ''}" if bad else text


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

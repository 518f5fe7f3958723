#!/usr/bin/env python3
"""Compares what models see in production with what they were trained on: drift of features and predictions."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, drift, instants, options, requests, sources  # noqa: E402
from upkeep_model.features import CategoricalFeature, Feature  # noqa: E402
from upkeep_model.proportions import two_proportions  # noqa: E402
from upkeep_model.result import CRITICAL, INFO, Result, WARNING  # noqa: E402
from upkeep_model.wording import Slugs, listed, percent, shown, span  # noqa: E402

DEFAULT = "data/predictions.csv"
DEFAULT_REFERENCE = "data/reference.csv"
MAX_VALUES = 50  # features with values of their own

EPILOG = """
The prediction log needs the column timestamp and the features; the reference has one row for each training
example, with the features and, for drift of predictions, predicted and score. Columns that describe a
request (request_id, model, version, endpoint, actual, latency_ms, response_ms, status) are no features.

A column of numbers with more than 10 different values is numeric, any other one categorical.
  numeric      population stability index over bins of reference quantiles; Kolmogorov-Smirnov test
  categorical  population stability index over categories; chi-square test with Cramér's V
A feature is a warning when its index reaches WARN, or when its test counts after correction and the distance
is at least --effect; it is critical when the index reaches CRIT and is more than chance gives.
Missing values: a change of their share by more than --missing-change that a z test confirms.

values: rows, reference_rows, features, drifted_features, drifted_share, psi_max, newest_age_seconds,
drift_age_seconds, and psi.FEATURE, ks.FEATURE or v.FEATURE, p.FEATURE (corrected), missing_share.FEATURE,
new_category_share.FEATURE. outputs: drift_since, most_drifted, newest, window_start, window_end.

examples:
  check_model_drift.py --predictions scripts/data/predictions.csv --reference scripts/data/reference.csv --now newest
  check_model_drift.py --predictions log.csv --reference train.csv.gz --window 24h --exclude customer_id
  check_model_drift.py --sqlite app.db --table predictions --reference-query 'SELECT * FROM training' --json
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    options.input_options(p, DEFAULT)
    options.time_options(p, "7d")
    drift.drift_options(p)
    add = p.add_argument_group("more limits").add_argument
    add("--missing-change", type=options.limits, default="0.05:0.2", metavar="WARN:CRIT",
        help="change of the share of missing values (default: %(default)s)")
    add("--new-category-share", type=options.share, default="0.5%", metavar="SHARE",
        help="rows in categories that the reference does not have; fewer are only noted (default: 0.5%%)")
    add("--drifted-share", type=options.share, default="50%", metavar="SHARE",
        help="when this share of features has drifted the data set has, which is critical (default: 50%%)")
    return p


def measure(args: argparse.Namespace) -> Result:
    log = requests.Requests(sources.predictions(args, DEFAULT), args)
    reference = sources.needed(args, "reference", DEFAULT_REFERENCE)
    now = log.now(args.now)
    window = requests.windows(now, args.window, 0)[0]
    found = drift.compare(args, log, window, reference)
    result = Result()
    result.output("window_start", instants.written(window.start))
    result.output("window_end", instants.written(now))
    result.value("rows", found.rows)
    result.value("reference_rows", found.reference_rows)
    log.judge_age(result, now, args.max_age)
    slugs = Slugs()
    for name in found.absent:
        result.finding(f"feature-absent.{slugs.of(name)}", CRITICAL,
                       f"feature {shown(name)} of the reference is not in the log: the model's input cannot be judged")
    if found.unknown:
        result.finding("features-unknown", INFO, f"in the log but not in the reference: {listed(found.unknown)}")
    for name, why in found.skipped.items():
        result.finding(f"feature-skipped.{slugs.of(name)}", INFO, f"feature {shown(name)} was not compared: {why}")
    if len(found.models) > 1:
        result.finding("several-models", INFO,
                       f"the window holds {len(found.models)} models together ({listed(found.models)}); "
                       "run the script once for each --model")
    if found.rows < args.drift_min_sample:
        result.finding("too-few-rows", WARNING,
                       f"{found.rows} rows in the {span(args.window)} before {instants.written(now)} are too few to "
                       f"compare (at least {args.drift_min_sample}): unknown, not good")
        result.summary = f"{found.rows} rows are too few to judge drift"
        return result
    for number, feature in enumerate(found.features):
        slug = slugs.of(feature.name)
        outcome = found.outcomes.get(feature.name)
        if number < MAX_VALUES:
            record(result, feature, outcome, slug)
        judge_feature(result, args, feature, outcome, slug)
        judge_missing(result, args, feature, slug)
        judge_new(result, args, feature, slug)
    judge_whole(result, args, found, now, window)
    return result


def record(result: Result, feature: Feature, outcome: Optional[drift.Outcome], slug: str) -> None:
    result.value(f"missing_share.{slug}", feature.missing / feature.rows)
    if isinstance(feature, CategoricalFeature):
        result.value(f"new_category_share.{slug}", feature.new_rows / max(1, feature.values()))
    if outcome is not None:
        result.value(f"psi.{slug}", outcome.psi)
        result.value(f"{'ks' if feature.test == 'ks' else 'v'}.{slug}", outcome.distance)
        result.value(f"p.{slug}", outcome.p)


def judge_feature(
    result: Result, args: argparse.Namespace, feature: Feature, outcome: Optional[drift.Outcome], slug: str
) -> None:
    what = "prediction" if feature.name in drift.PREDICTIONS else "feature"
    if outcome is None:
        result.finding(f"too-few.{slug}", WARNING,
                       f"{what} {shown(feature.name)}: {feature.values()} values against {feature.reference_values()} in "
                       f"the reference are too few to compare (at least {args.drift_min_sample}): unknown, not good")
        return
    by_index = outcome.psi >= args.psi.warn
    by_test = outcome.p < args.alpha and outcome.distance >= args.effect
    if not by_index and not by_test:
        return
    sure = outcome.psi >= args.psi.crit and outcome.psi > outcome.noise
    limit = args.psi.crit if sure else args.psi.warn
    test = "Kolmogorov-Smirnov distance" if feature.test == "ks" else "Cramér's V"
    parts = [f"stability index {outcome.psi:.3f}" + (f" (limit {limit:g})" if by_index else "")]
    if by_index and outcome.psi <= outcome.noise:
        parts.append(f"which chance can give with {feature.values()} values")
    parts.append(f"{test} {outcome.distance:.3f}, p = {outcome.p:.2g}")
    result.finding(f"{what}-drift.{slug}", CRITICAL if sure else WARNING,
                   f"{what} {shown(feature.name)} has drifted: " + ", ".join(parts))


def judge_missing(result: Result, args: argparse.Namespace, feature: Feature, slug: str) -> None:
    now, then = feature.missing / feature.rows, feature.reference_missing / feature.reference_rows
    change = abs(now - then)
    if change < args.missing_change.warn:
        return
    p = two_proportions(feature.missing, feature.rows, feature.reference_missing, feature.reference_rows).p
    if p >= args.alpha:
        return
    result.finding(f"missing.{slug}", CRITICAL if change >= args.missing_change.crit else WARNING,
                   f"{shown(feature.name)}: {percent(now)} of values are missing, {percent(then)} in the reference")


def judge_new(result: Result, args: argparse.Namespace, feature: Feature, slug: str) -> None:
    if not isinstance(feature, CategoricalFeature) or not feature.new_rows:
        return
    share = feature.new_rows / feature.values()
    most = [c for c, _ in sorted(feature.new.items(), key=lambda item: (-item[1], item[0]))]
    result.finding(f"new-categories.{slug}", WARNING if share >= args.new_category_share else INFO,
                   f"{shown(feature.name)}: {percent(share, 2)} of values are not in the reference: {listed(most, 5)}")


def judge_whole(
    result: Result, args: argparse.Namespace, found: drift.Comparison, now: float, window: instants.Window
) -> None:
    own = {n: o for n, o in found.outcomes.items() if n not in drift.PREDICTIONS}
    drifted: List[str] = sorted(
        (n for n, o in own.items() if o.psi >= args.psi.warn), key=lambda n: (-own[n].psi, n)
    )
    result.value("features", len(own))
    result.value("drifted_features", len(drifted))
    if own:
        share = len(drifted) / len(own)
        result.value("drifted_share", share)
        top = max(own, key=lambda n: (own[n].psi, n))
        result.value("psi_max", own[top].psi)
        result.output("most_drifted", top)
        if share >= args.drifted_share and len(drifted) > 1:
            result.finding("data-set-drift", CRITICAL,
                           f"{len(drifted)} of {len(own)} features have drifted: {listed(drifted)}")
    if not any(f.name in drift.PREDICTIONS for f in found.features):
        result.finding("predictions-not-compared", INFO,
                       "drift of predictions was not judged: neither the reference nor the window before has enough "
                       "rows with a column predicted or score that the log has too")
    elif found.earlier:
        result.finding("predictions-against-before", INFO,
                       "predictions were compared with the window before, as the reference has none")
    day = drift.since_day(found.outcomes, args.psi.warn)
    if day is not None:
        at = max(day * 86400.0, window.start)
        result.output("drift_since", instants.written(at))
        result.value("drift_age_seconds", now - at)
    moved = f": {listed(drifted, 4)}" if drifted else ""
    result.summary = f"{len(drifted)} of {len(own)} features drifted{moved} ({found.rows} rows against {found.reference_rows})"


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

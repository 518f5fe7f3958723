"""Drift of a log against a reference sample: which features are compared, and what came out."""

from __future__ import annotations

import argparse
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import options
from .broke import Broke
from .correction import METHODS, corrected_by_name
from .features import CategoricalFeature, Feature, NumericFeature, is_numeric
from .instants import Window
from .options import Parser
from .requests import COLUMNS, Requests
from .tables import Table
from .wording import listed, suggestion

PREDICTIONS = ("predicted", "score")


class Outcome(NamedTuple):
    """How far one feature has moved.

    psi         population stability index; noise: what chance alone exceeds in 5 % of cases
    distance    Kolmogorov-Smirnov distance, or Cramér's V of a categorical feature
    p           p-value of that test, corrected for the number of features
    """

    feature: Feature
    psi: float
    noise: float
    distance: float
    p: float


class Comparison(NamedTuple):
    """features  compared ones by name, whether or not there were enough rows
    outcomes     those with enough values on both sides
    absent       in the reference, not in the log; unknown: in the log, not in the reference
    skipped      name -> why it was not compared
    rows         requests in the window
    earlier      whether predictions were compared with the window before, as the reference has none
    """

    features: List[Feature]
    outcomes: Dict[str, Outcome]
    absent: List[str]
    unknown: List[str]
    skipped: Dict[str, str]
    rows: int
    reference_rows: int
    models: List[str]
    earlier: bool


def drift_options(parser: Parser) -> None:
    options.side_table(parser, "reference", "reference sample (training features)")
    group = parser.add_argument_group("features")
    add = group.add_argument
    add("--features", type=options.names, metavar="A,B", help="compare these columns (default: all of the reference)")
    add("--exclude", type=options.names, default=[], metavar="A,B", help="but not these")
    add("--numeric", type=options.names, default=[], metavar="A,B", help="take these as numbers")
    add("--categorical", type=options.names, default=[], metavar="A,B", help="take these as categories")
    add("--bins", type=options.whole, default=10, metavar="N", help="bins of a numeric feature (default: 10)")
    add("--max-categories", type=options.whole, default=100, metavar="N",
        help="a text column with more different values is taken for an identifier and skipped (default: 100)")
    group = parser.add_argument_group("limits")
    add = group.add_argument
    add("--psi", type=options.limits, default="0.1:0.25", metavar="WARN:CRIT",
        help="limits of the population stability index (default: %(default)s)")
    add("--alpha", type=options.share, default="0.01", metavar="P",
        help="corrected p-value below which a test counts (default: 0.01)")
    add("--effect", type=options.share, default="0.1", metavar="D",
        help="… and only if the distance is at least D: large samples make any change significant (default: 0.1)")
    add("--correction", choices=METHODS, default="holm",
        help="of the p-values for the number of features: holm bounds any false alarm, bh their share (default: holm)")
    add("--drift-min-sample", type=options.whole, default=200, metavar="N",
        help="fewer values than N on either side are too few to compare (default: 200, where chance rarely reaches 0.1)")


def compare(args: argparse.Namespace, log: Requests, window: Window, reference: Table,
            predictions: bool = True) -> Comparison:
    """Reads the reference, then the requests in `window`, and compares every feature.

    With `predictions` the columns predicted and score are compared like features; a reference that has neither
    is replaced by the requests in the window of the same length before.
    """
    names, absent, unknown = _names(args, log.table, reference, predictions)
    features, skipped, reference_rows = _learn(args, names, reference)
    earlier: List[Feature] = []
    if predictions and not any(n in PREDICTIONS for n in names):
        earlier = _learn_earlier(args, log, window)
        features = features + earlier
    places: List[Tuple[Feature, int]] = [(f, log.table.need(f.name)) for f in features]
    rows, models = 0, set()
    for _, r in log.between(window):
        rows += 1
        models.add(r.model)
        day = int(r.time // 86400)
        for feature, place in places:
            feature.add(log.table, r.cells[place], r.line, day)
    return Comparison(
        features, outcomes(args, features), absent, unknown, skipped, rows, reference_rows, sorted(models),
        bool(earlier),
    )


def outcomes(args: argparse.Namespace, features: List[Feature]) -> Dict[str, Outcome]:
    """The outcome of every feature with at least --drift-min-sample values on both sides."""
    least = args.drift_min_sample
    enough = [f for f in features if f.values() >= least and f.reference_values() >= least]
    distances = {f.name: f.distance() for f in enough}
    ps = corrected_by_name({n: p for n, (_, p) in distances.items()}, args.correction)
    return {f.name: Outcome(f, f.stability(), f.noise(), distances[f.name][0], ps[f.name]) for f in enough}


def since_day(found: Dict[str, Outcome], limit: float) -> Optional[int]:
    """The first UTC day number from which on any feature lies beyond `limit`."""
    days = [d for o in found.values() if o.psi >= limit for d in (o.feature.since(limit),) if d is not None]
    return min(days, default=None)


def _names(
    args: argparse.Namespace, log: Table, reference: Table, predictions: bool
) -> Tuple[List[str], List[str], List[str]]:
    said = [n for n in (args.features or []) + args.numeric + args.categorical]
    for name in said:
        if reference.find(name) is None:
            near = suggestion(name, reference.columns)
            raise Broke(
                f'{reference.name}: no column "{name}"', f"{near} it has {listed(reference.columns, 12)}".strip()
            )
    own = set(COLUMNS) | set(options.columns(args).values()) | set(args.exclude) | {""}
    if args.features:
        for name in args.features:
            log.need(name)
        wanted = [n for n in args.features if n not in args.exclude]
    else:
        wanted = [c for c in reference.columns if c not in own]
    absent = [n for n in wanted if log.find(n) is None]
    names = [n for n in wanted if n not in absent]
    unknown = [] if args.features else [c for c in log.columns if c not in own and reference.find(c) is None]
    if predictions:
        names += [n for n in PREDICTIONS if log.find(n) is not None and reference.find(n) is not None]
    if not names and not absent:
        raise Broke(
            f"{reference.name}: no features to compare",
            f"name them with --features; it has {listed(reference.columns, 12)}",
        )
    return names, absent, unknown


def _learn(
    args: argparse.Namespace, names: List[str], reference: Table
) -> Tuple[List[Feature], Dict[str, str], int]:
    features = [_feature(args, reference, name) for name in names]
    places = [(f, reference.need(f.name)) for f in features]
    rows = 0
    for line, cells in reference.rows():
        rows += 1
        if rows > args.max_rows:
            raise Broke(f"{reference.name}: more than {args.max_rows} rows to work on", "raise --max-rows, or sample it")
        for feature, place in places:
            feature.add_reference(reference, cells[place], line)
    if not rows:
        raise Broke(f"{reference.name}: no rows", "it needs the features that the model was trained on")
    return _closed(args, features) + (rows,)


def _feature(args: argparse.Namespace, table: Table, name: str) -> Feature:
    if name in args.numeric or (name not in args.categorical and is_numeric(table, table.need(name), name)):
        return NumericFeature(name, args.bins)
    return CategoricalFeature(name, args.max_categories)


def _learn_earlier(args: argparse.Namespace, log: Requests, window: Window) -> List[Feature]:
    features = [_feature(args, log.table, name) for name in PREDICTIONS if log.has(name)]
    places = [(f, log.table.need(f.name)) for f in features]
    for _, r in log.between(window.before(window.seconds)):
        for feature, place in places:
            feature.add_reference(log.table, r.cells[place], r.line)
    return [f for f in _closed(args, features)[0] if f.reference_values() >= args.drift_min_sample]


def _closed(args: argparse.Namespace, features: List[Feature]) -> Tuple[List[Feature], Dict[str, str]]:
    skipped: Dict[str, str] = {}
    for feature in features:
        feature.close()
        if not feature.reference_values():
            skipped[feature.name] = "it has no values in the reference"
        elif isinstance(feature, CategoricalFeature) and feature.too_many:
            skipped[feature.name] = f"more than {args.max_categories} different texts: an identifier?"
    return [f for f in features if f.name not in skipped], skipped

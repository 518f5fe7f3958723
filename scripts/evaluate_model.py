#!/usr/bin/env python3
"""Measures one version of a model that train_model.py made, on rows that no version has learned from."""

from __future__ import annotations

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, labelled, labels, logistic, options, sources  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.labels import Confusion  # noqa: E402
from upkeep_model.proportions import wilson  # noqa: E402
from upkeep_model.result import Result, WARNING  # noqa: E402
from upkeep_model.tally import percentiles  # noqa: E402
from upkeep_model.wording import percent  # noqa: E402

EPILOG = """
Reads model.json in --model-dir (UPKEEP_MODEL_DIR) and the labelled rows that train_model.py left out: say the same
--holdout and input to both. `kind: retrain` runs it for the candidate and for the model in use.

values: samples, accuracy with accuracy_low and accuracy_high (95 %, Wilson), precision_macro, recall_macro, f1_macro,
brier, log_loss, auc (if both classes occurred), latency_p50_seconds, latency_p95_seconds (of one answer, here)

examples:
  evaluate_model.py --model-dir models/churn/current --predictions scripts/data/predictions.csv
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    labelled.arguments(p)
    p.add_argument_group("judgement").add_argument(
        "--min-sample", type=options.whole, default="100", metavar="N",
        help="fewer rows are a warning: too few to judge (default: 100)")
    return p


def measure(args: argparse.Namespace) -> Result:
    model = logistic.load(os.path.join(labelled.folder(args), logistic.MODEL_FILE))
    table = sources.predictions(args, labelled.DEFAULT)
    numeric = [f.numeric for f in model.features]
    data = labelled.read(table, [f.name for f in model.features], numeric, args, held_out=True)
    result = Result()
    result.value("samples", len(data.rows))
    if not data.rows:
        raise Broke(f"{table.name}: no labelled row is held out", "say the same --holdout as in training, or wait for labels")
    unknown = sorted(set(data.labels) - {model.positive, model.negative})
    if unknown:
        raise Broke(f"{table.name}: the model does not know the class {unknown[0]}", "correct the labels, or train a model that knows it")
    confusion, scores, seconds = Confusion(), [], []
    for row, label in zip(data.rows, data.labels):
        begin = time.perf_counter()
        score = model.score(row)
        seconds.append(time.perf_counter() - begin)
        scores.append(score)
        confusion.add(model.positive if score >= 0.5 else model.negative, label)
    events = [int(x == model.positive) for x in data.labels]
    interval = wilson(confusion.hits, confusion.n)
    result.value("accuracy", confusion.accuracy)
    result.value("accuracy_low", interval.low)
    result.value("accuracy_high", interval.high)
    for name, value in zip(("precision_macro", "recall_macro", "f1_macro"), confusion.macro()):
        result.value(name, value)
    result.value("brier", labels.brier(scores, events))
    result.value("log_loss", labels.log_loss(scores, events))
    result.value("auc", labels.area_under_curve(scores, events))
    spread = percentiles(seconds)
    if spread:
        result.value("latency_p50_seconds", spread.p50)
        result.value("latency_p95_seconds", spread.p95)
    if len(data.rows) < args.min_sample:
        result.finding("few-samples", WARNING, f"{len(data.rows)} rows, fewer than {args.min_sample}: too few to judge")
    result.summary = f"accuracy {percent(confusion.accuracy)} ({percent(interval.low)} to {percent(interval.high)}, {confusion.n} rows)"
    return result


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

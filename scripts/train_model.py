#!/usr/bin/env python3
"""Trains a logistic regression on labelled rows and leaves it in the folder of a version: an example for `kind: retrain`."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, features, files, labelled, logistic, options, sources  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.result import Result, WARNING  # noqa: E402
from upkeep_model.wording import listed  # noqa: E402

EPILOG = """
columns of the table:
  actual       needed: the label, of two classes; rows without one are passed over
  the features all other columns that do not tell what a model answered, or those that --features names

A feature is numeric when it holds more than 10 different numbers, else each of its values is a category. The rows
that evaluate_model.py measures on are left out: say the same --holdout, --features and input to both. There is no
chance in the training: the same rows make the same model.json.

values: rows, rows_held_out, rows_unlabelled, inputs, positive_share
outputs: features, positive

examples:
  UPKEEP_MODEL_DIR=models/churn/versions/1 train_model.py --predictions scripts/data/predictions.csv
  train_model.py --sqlite app.db --table labels --column actual=churned --model-dir /tmp/candidate
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    labelled.arguments(p)
    add = p.add_argument_group("model").add_argument
    add("--features", type=options.names, metavar="NAMES", help="columns to learn from, separated by commas")
    add("--positive", metavar="CLASS", help="the class whose probability the score is (default: 1, true or yes)")
    add("--ridge", type=options.positive, default="1", metavar="N", help="how strongly weights are kept small (default: 1)")
    add("--min-rows", type=options.whole, default="200", metavar="N", help="fewer rows to learn from are an error (default: 200)")
    return p


def measure(args: argparse.Namespace) -> Result:
    folder = labelled.folder(args)
    table = sources.predictions(args, labelled.DEFAULT)
    names = labelled.columns(table, args.features)
    numeric = [features.is_numeric(table, table.need(n), n) for n in names]
    data = labelled.read(table, names, numeric, args, held_out=False)
    if len(data.rows) < args.min_rows:
        raise Broke(f"{table.name}: {len(data.rows)} labelled rows to learn from, fewer than {args.min_rows}",
                    "wait for more labels, or say --min-rows")
    positive, negative = labelled.two_classes(data.labels, args.positive)
    events = [int(x == positive) for x in data.labels]
    made = [logistic.Feature(n, is_number, [row[i] for row in data.rows]) for i, (n, is_number) in enumerate(zip(names, numeric))]
    model = logistic.fit(made, data.rows, events, positive, negative, args.ridge)
    held_out = len(labelled.read(table, names, numeric, args, held_out=True).rows)
    try:
        files.put(os.path.join(folder, logistic.MODEL_FILE), model.document().encode("utf-8"))
    except OSError as why:
        raise Broke(f"{folder}: write the model: {why.strerror}", "check the disk and the permissions of the folder") from None
    result = Result()
    result.value("rows", len(data.rows))
    result.value("rows_held_out", held_out)
    result.value("rows_unlabelled", data.skipped)
    result.value("inputs", len(model.weights) - 1)
    result.value("positive_share", sum(events) / len(events))
    result.output("features", ",".join(names))
    result.output("positive", positive)
    if not held_out:
        result.finding("nothing-held-out", WARNING, "no row was held out, so the model cannot be measured")
    result.summary = f"trained on {len(data.rows)} rows with {listed(names)}"
    return result


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

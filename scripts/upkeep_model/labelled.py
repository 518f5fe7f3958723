"""Rows whose outcome is known: which of them a model learns from, and which ones it is measured on."""

from __future__ import annotations

import argparse
import hashlib
import os
from typing import Any, List, NamedTuple, Optional, Sequence

from . import options
from .broke import Broke
from .tables import Table
from .wording import listed, shown

DEFAULT = "data/predictions.csv"
# Columns of a prediction log that say what a model answered, not what it was asked.
_ANSWERS = ("timestamp", "request_id", "model", "version", "endpoint", "predicted", "actual", "score", "latency_ms",
            "response_ms", "status")


class Labelled(NamedTuple):
    """rows and labels have the same length; skipped counts the rows without a label."""

    rows: List[List[Any]]
    labels: List[str]
    skipped: int


def arguments(parser: options.Parser) -> None:
    options.input_options(parser, DEFAULT)
    group = parser.add_argument_group("learning")
    group.add_argument("--holdout", type=options.share, default="30%", metavar="SHARE",
                       help="share of the rows that is kept for measuring (default: %(default)s); say the same to both scripts")
    group.add_argument("--model-dir", metavar="FOLDER", default=os.environ.get("UPKEEP_MODEL_DIR", ""),
                       help="the folder of the version (default: UPKEEP_MODEL_DIR)")


def folder(args: argparse.Namespace) -> str:
    if not args.model_dir:
        raise Broke("no folder of a version is named", "say --model-dir FOLDER, or let upkeep set UPKEEP_MODEL_DIR", code=2)
    if not os.path.isdir(args.model_dir):
        raise Broke(f"{shown(args.model_dir, 200)}: no such folder", "make it, or correct --model-dir")
    return str(args.model_dir)


def columns(table: Table, named: Optional[Sequence[str]]) -> List[str]:
    """The features: those that are named, or all columns that no answer of a model stands in."""
    if named:
        for name in named:
            table.need(name)
        return list(named)
    answers = {table.find(name) for name in _ANSWERS}
    found = [c for i, c in enumerate(table.columns) if i not in answers]
    if not found:
        raise Broke(f"{table.name}: no column to learn from", "name the features with --features")
    return found


def is_held_out(texts: Sequence[str], label: str, share: float) -> bool:
    """Whether a row is for measuring only.

    The hash of what it says decides, so a row stays on its side however the table grows or is sorted: no model,
    old or new, has learned from a row that it is measured on, and rows that repeat stay together.
    """
    text = "\x1f".join(texts) + "\x1e" + label
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") < share * 2 ** 64


def read(table: Table, names: Sequence[str], numeric: Sequence[bool], args: argparse.Namespace, held_out: bool) -> Labelled:
    """The labelled rows of one side: those that are held out, or the others."""
    places = [table.need(n) for n in names]
    label_at = table.need("actual")
    wanted = {"model": args.model, "version": args.model_version}
    only = [(table.need(c), v) for c, v in wanted.items() if v is not None]
    found = Labelled([], [], 0)
    skipped = 0
    for number, (line, cells) in enumerate(table.rows(), 1):
        if number > args.max_rows:
            raise Broke(f"{table.name}: more than {args.max_rows} rows", "narrow the input with --query, or raise --max-rows")
        if any(table.text(cells[at]) != v for at, v in only):
            continue
        if table.blank(cells[label_at]):
            skipped += 1
            continue
        row = [
            None if table.blank(cells[at]) else table.number(cells[at], name, line) if is_number else table.text(cells[at])
            for at, name, is_number in zip(places, names, numeric)
        ]
        label = table.text(cells[label_at])
        texts = ["" if table.blank(cells[at]) else table.text(cells[at]) for at in places]
        if is_held_out(texts, label, args.holdout) == held_out:
            found.rows.append(row)
            found.labels.append(label)
    return found._replace(skipped=skipped)


def two_classes(labels: Sequence[str], positive: Optional[str]) -> "tuple[str, str]":
    """The positive class and the other one; Broke unless the labels are of exactly two classes."""
    classes = sorted(set(labels))
    if len(classes) != 2:
        raise Broke(f"the labels are of {len(classes)} classes: {listed(classes)}", "a logistic regression tells two apart")
    if positive is None:
        named = [c for c in classes if c.lower() in ("1", "true", "yes")]
        if len(named) != 1:
            raise Broke(f"none of the classes {listed(classes)} is known to be the positive one", "say --positive CLASS", code=2)
        positive = named[0]
    if positive not in classes:
        raise Broke(f'--positive "{shown(positive)}" is not among the classes {listed(classes)}', "name one of them", code=2)
    return positive, classes[0] if positive == classes[1] else classes[1]

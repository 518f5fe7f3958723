"""The list of trained models: what was trained when, and how good it was then."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import sources
from .broke import Broke
from .csvtable import check_file
from .tables import Table
from .wording import listed, shown

INCUMBENT = frozenset("incumbent champion production live serving".split())
CANDIDATE = frozenset("candidate challenger staging shadow".split())
JSON_LIMIT = 16 << 20
MOST_MODELS = 50
_KEYS = ("model", "version", "trained_at", "accuracy", "n", "role")


class Model(NamedTuple):
    """One training. accuracy and n: on the test set at training, None where not known; role may be empty."""

    model: str
    version: str
    trained_at: float
    accuracy: Optional[float]
    n: Optional[int]
    role: str


def read(args: argparse.Namespace, default: str) -> List[Model]:
    """The models of --models (CSV, or JSON when the name ends in .json) or --models-table; one at least."""
    path = args.models
    if path and path.endswith(".json"):
        found, name = _from_json(path), path
    else:
        table = sources.needed(args, "models", default)
        found, name = _from_table(table), table.name
    if not found:
        raise Broke(f"{name}: no models", "it needs one row for each training: model, version, trained_at, accuracy, n")
    seen: Dict[Tuple[str, str], bool] = {}
    for m in found:
        if (m.model, m.version) in seen:
            raise Broke(f"{name}: {shown(m.model)} {shown(m.version)} is listed twice", "one row for each version")
        seen[m.model, m.version] = True
    chosen = [m for m in found if args.model in (None, m.model)]
    if not chosen:
        raise Broke(f'{name}: no model "{shown(args.model)}"', f"it has {listed(sorted({m.model for m in found}))}")
    count = len({m.model for m in chosen})
    if count > MOST_MODELS:
        raise Broke(f"{name}: {count} models are too many for one result", "name one with --model")
    return chosen


def _from_table(table: Table) -> List[Model]:
    places = {k: table.need(k) if k in ("model", "version", "trained_at") else table.find(k) for k in _KEYS}
    found = []
    for line, cells in table.rows():
        cell = {k: None if p is None or table.blank(cells[p]) else cells[p] for k, p in places.items()}
        found.append(_model(cell, table, line))
    return found


def _model(cell: Dict[str, Any], table: Table, line: int) -> Model:
    where = table.where(line)
    for key in ("model", "version", "trained_at"):
        if cell[key] is None:
            raise Broke(f"{where}: no {key}", "every model needs model, version and trained_at")
    accuracy = n = None
    if cell["accuracy"] is not None:
        accuracy = table.number(cell["accuracy"], "accuracy", line)
        if not 0 <= accuracy <= 1:
            raise Broke(f"{where}: accuracy is {accuracy:g}, but must be between 0 and 1", "93 % is written 0.93")
    if cell["n"] is not None:
        number = table.number(cell["n"], "n", line)
        if number < 1 or number != int(number):
            raise Broke(f"{where}: n is {number:g}, but must be a whole number above 0", "the rows of the test set")
        n = int(number)
    return Model(
        str(cell["model"]).strip(), str(cell["version"]).strip(), table.instant(cell["trained_at"], line),
        accuracy, n, str(cell["role"] or "").strip().lower(),
    )


class _JsonTable(Table):
    """Only to read JSON cells by the same rules, with the number of the entry as its place."""

    def where(self, number: int) -> str:
        return f"{self.name} entry {number}"

    def rows(self) -> Iterator[Any]:
        return iter(())


def _from_json(path: str) -> List[Model]:
    check_file(path)
    if os.path.getsize(path) > JSON_LIMIT:
        raise Broke(f"{path}: larger than {JSON_LIMIT >> 20} MiB", "this does not look like a list of models")
    try:
        with open(path, encoding="utf-8-sig") as file:
            document = json.load(file, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as why:
        raise Broke(f"{path}: not valid JSON: {why}", "check it with: python3 -m json.tool FILE") from None
    except OSError as why:
        raise Broke(f"{path}: {why.strerror}", "check the permissions of the file") from None
    if isinstance(document, dict):
        document = document.get("models", [document])
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise Broke(f"{path}: not a list of models", 'write {"models": [{"model": …, "version": …, "trained_at": …}]}')
    table = _JsonTable(path, list(_KEYS), {}, frozenset())
    found = []
    for number, entry in enumerate(document, 1):
        cell = {k: entry.get(k) for k in _KEYS}
        wrong = [k for k, v in cell.items() if isinstance(v, (dict, list, bool))]
        if wrong:
            raise Broke(f"{table.where(number)}: {wrong[0]} is neither a text nor a number", "")
        found.append(_model({k: None if table.blank(v) else v for k, v in cell.items()}, table, number))
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def incumbent(models: List[Model], serving: Optional[str]) -> Optional[Model]:
    """Which of the versions of one model is in production.

    The one whose role says so; else the version `serving` of the newest request; else the one trained last
    that is no candidate. None when `serving` is a version that is not listed and no role decides.
    """
    by_role = [m for m in models if m.role in INCUMBENT]
    if by_role:
        return max(by_role, key=lambda m: m.trained_at)
    if serving is not None and serving != "-":
        return next((m for m in models if m.version == serving), None)
    return _latest([m for m in models if m.role not in CANDIDATE])


def candidate(models: List[Model], live: Model) -> Optional[Model]:
    """The newest candidate that was trained after the incumbent, or None."""
    later = [m for m in models if m.role in CANDIDATE and m.trained_at > live.trained_at]
    return _latest(later)


def _latest(models: List[Model]) -> Optional[Model]:
    return max(models, key=lambda m: m.trained_at) if models else None



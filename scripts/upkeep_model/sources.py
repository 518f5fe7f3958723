"""Which table an option group means, and opening it."""

from __future__ import annotations

import argparse
import os
from typing import Optional

from . import options
from .broke import Broke
from .csvtable import CsvTable
from .sqlitetable import SqliteTable
from .tables import Table


def predictions(args: argparse.Namespace, default: str) -> Table:
    """The prediction log: --predictions, or --table / --query on --sqlite, or the file `default`."""
    found = _chosen(args, "predictions", "table", "query")
    if found is not None:
        return found
    if args.sqlite:
        raise Broke(f"{args.sqlite}: no table named", "say --table NAME or --query 'SELECT …'", code=2)
    if not os.path.exists(default):
        raise Broke(
            f"{default}: no such file",
            "name the prediction log with --predictions FILE, or --sqlite FILE --table NAME",
        )
    return _csv(args, default)


def side(args: argparse.Namespace, name: str, default: str = "") -> Optional[Table]:
    """A second table, or None when it is not named and the file `default` does not exist."""
    found = _chosen(args, name, f"{name}-table", f"{name}-query")
    if found is None and default and os.path.exists(default):
        return _csv(args, default)
    return found


def needed(args: argparse.Namespace, name: str, default: str) -> Table:
    """The same, but Broke when there is none."""
    found = side(args, name, default)
    if found is None:
        raise Broke(f"{default}: no such file", f"name it with --{name} FILE, or --sqlite FILE --{name}-table NAME")
    return found


def _chosen(args: argparse.Namespace, file_flag: str, table_flag: str, query_flag: str) -> Optional[Table]:
    file = options.attribute(args, file_flag)
    table = options.attribute(args, table_flag)
    query = options.attribute(args, query_flag)
    if sum(1 for x in (file, table, query) if x) > 1:
        raise Broke(
            f"--{file_flag}, --{table_flag} and --{query_flag} exclude each other", "name one of them", code=2
        )
    if file:
        return _csv(args, file)
    if not table and not query:
        return None
    if not args.sqlite:
        raise Broke(
            f"--{table_flag if table else query_flag} needs a database", "name it with --sqlite FILE", code=2
        )
    return SqliteTable(args.sqlite, table or "", query or "", options.columns(args), options.missing(args))


def _csv(args: argparse.Namespace, path: str) -> CsvTable:
    return CsvTable(path, args.delimiter, options.columns(args), options.missing(args))

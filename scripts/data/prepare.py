#!/usr/bin/env python3
"""Puts in place what an application would have left on this machine: a SQLite database and its logs.

The quickstart works on them. The database holds the sample data of this folder and one row for each time that
this script ran, so that it changes from day to day. The logs are one file a day. The first time there are ten of
them, dated back; later only the days since the newest one are added, as an application would.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import re
import sqlite3
import sys
from typing import Any, List

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from upkeep_model import command, options  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.result import Result  # noqa: E402

TABLES = ("predictions", "reference", "models", "health", "slow_queries", "counters")
FIRST_LOGS = 10  # days
LOG = re.compile(r"app-(\d{4}-\d\d-\d\d)\.log")
LINES = 400

EPILOG = """
It writes FOLDER/app.db and FOLDER/logs/app-YYYY-MM-DD.log, and may run again and again.

values: rows, tables, database_bytes, logs_added.
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    p.add_argument("--out", metavar="FOLDER", required=True, help="where to put the files")
    p.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return p


def prepare(args: argparse.Namespace) -> Result:
    result = Result()
    try:
        os.makedirs(os.path.join(args.out, "logs"), exist_ok=True)
        path = os.path.join(args.out, "app.db")
        rows = fill(path)
        added = add_logs(os.path.join(args.out, "logs"), datetime.date.today())
        result.value("database_bytes", os.path.getsize(path))
    except OSError as why:
        raise Broke(f"write {why.filename or args.out}: {why.strerror or why}", "does this user own the folder?") from None
    except sqlite3.Error as why:
        raise Broke(f"write {path}: {why}", f"remove {path}: it is made anew from the sample data") from None
    result.value("rows", rows)
    result.value("tables", len(TABLES) + 1)
    result.value("logs_added", added)
    result.summary = f"{rows} rows in {len(TABLES) + 1} tables, {added} logs added"
    return result


def fill(path: str) -> int:
    """Makes every table that is missing and records this visit; returns how many rows there are."""
    # Without isolation_level transactions are ours alone: tables and their rows appear together or not at all.
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        for name in TABLES:
            fill_table(database, name)
        database.execute("CREATE TABLE IF NOT EXISTS visits (at TEXT NOT NULL)")
        now = datetime.datetime.now(datetime.timezone.utc)
        database.execute("INSERT INTO visits VALUES (?)", (now.isoformat(timespec="seconds"),))
        database.execute("COMMIT")
        return sum(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in (*TABLES, "visits"))
    finally:
        database.close()


def fill_table(database: sqlite3.Connection, name: str) -> None:
    if database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone():
        return
    with open(os.path.join(HERE, f"{name}.csv"), encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        content = list(rows)
    columns = ", ".join(f'"{column}" {affinity(content, i, column)}' for i, column in enumerate(header))
    database.execute(f"CREATE TABLE {name} ({columns})")
    marks = ", ".join("?" * len(header))
    database.executemany(f"INSERT INTO {name} VALUES ({marks})", ([cell or None for cell in row] for row in content))


def affinity(rows: List[List[str]], place: int, column: str) -> str:
    """The type of a column: REAL when all that stands in it are numbers, which versions only look like."""
    if column == "version":
        return "TEXT"
    cells: List[Any] = [row[place] for row in rows if row[place]]
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return "TEXT"
    return "REAL" if cells else "TEXT"


def add_logs(folder: str, today: datetime.date) -> int:
    """Adds the logs of the days since the newest one, each as old as its name says; returns how many."""
    days = [datetime.date.fromisoformat(found.group(1)) for found in map(LOG.fullmatch, os.listdir(folder)) if found]
    day = max(days) + datetime.timedelta(days=1) if days else today - datetime.timedelta(days=FIRST_LOGS - 1)
    day = max(day, today - datetime.timedelta(days=FIRST_LOGS - 1))
    added = 0
    while day <= today:
        path = os.path.join(folder, f"app-{day.isoformat()}.log")
        with open(path, "w", encoding="utf-8") as file:
            for line in range(LINES):
                at = datetime.datetime.combine(day, datetime.time(line * 24 // LINES, line * 7 % 60, line * 13 % 60))
                file.write(f"{at.isoformat()}Z INFO request served in {20 + line * 31 % 80} ms\n")
        if day < today:
            end = datetime.datetime.combine(day, datetime.time(23, 59)).timestamp()
            os.utime(path, (end, end))
        added += 1
        day += datetime.timedelta(days=1)
    return added


if __name__ == "__main__":
    sys.exit(command.main(parser(), prepare))

"""SQLite tables and queries as tables, opened read-only."""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from typing import FrozenSet, Iterator, List, Mapping

from .broke import Broke
from .csvtable import check_file
from .tables import CELL_LIMIT, Row, Table
from .wording import listed, shown, suggestion

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, getattr(sqlite3, "SQLITE_RECURSIVE", 33))


class SqliteTable(Table):
    """A table, a view or the rows of one SELECT.

    The database is opened with mode=ro and may be in use: it is not taken as immutable, and all rows
    come from one snapshot, also when they are read twice. A query may only read; ATTACH, PRAGMA and
    writes are refused.
    """

    def __init__(
        self, path: str, table: str, query: str, mapping: Mapping[str, str], missing: FrozenSet[str]
    ) -> None:
        check_file(path)
        self._path = path
        self._what = table or "query"
        self._database = _opened(path)
        try:
            self._select = query or self._select_all(table)
            columns = self._columns()
        except sqlite3.Error as why:
            raise self._broke(why) from None
        super().__init__(f"{path} ({shown(self._what)})", columns, mapping, missing)
        if len(set(columns)) != len(columns):
            raise Broke(f"{self.name}: two columns have one name", "give them names in the query: SELECT a AS x")

    def where(self, number: int) -> str:
        return f"{self.name} row {number}"

    def rows(self) -> Iterator[Row]:
        try:
            for number, cells in enumerate(self._database.execute(self._select), 1):
                for cell in cells:
                    if isinstance(cell, bytes):
                        raise Broke(f"{self.where(number)}: holds a blob", "name the columns to read in --query")
                    if isinstance(cell, str) and len(cell) > CELL_LIMIT:
                        raise Broke(f"{self.where(number)}: a cell is longer than {CELL_LIMIT} characters")
                yield number, cells
        except sqlite3.Error as why:
            raise self._broke(why) from None

    def _select_all(self, table: str) -> str:
        known = tables(self._database)
        if table not in known:
            near = suggestion(table, known)
            has = f"it has {listed(known)}" if known else "it has no tables"
            raise Broke(f'{self._path}: no table "{shown(table)}"', f"{near} {has}".strip())
        return 'SELECT * FROM "' + table.replace('"', '""') + '"'

    def _columns(self) -> List[str]:
        self._database.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
        )
        cursor = self._database.execute(self._select)
        if cursor.description is None:
            raise Broke(f"{self._path}: the query returns no rows by nature", "write a SELECT")
        found = [column[0] for column in cursor.description]
        cursor.close()
        return found

    def _broke(self, why: Exception) -> Broke:
        text = str(why)
        if "not authorized" in text or "prohibited" in text:
            return Broke(f"{self._path}: the query does more than read: {text}", "write one SELECT")
        if "not a database" in text or "malformed" in text:
            return Broke(f"{self._path}: {text}", "check it with: sqlite3 FILE 'PRAGMA integrity_check'")
        if "locked" in text or "busy" in text:
            return Broke(f"{self._path}: {text}", "another process holds it for writing; try again")
        if "no such column" in text or "syntax error" in text or "one statement" in text:
            return Broke(f"{self._path}: {text}", "correct --query; it is one SELECT")
        return Broke(f"{self._path}: {text}", "the folder must be readable too when the database is in WAL mode")


def _opened(path: str) -> sqlite3.Connection:
    uri = "file:" + urllib.parse.quote(os.path.abspath(path)) + "?mode=ro"
    try:
        database = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as why:
        hint = "check it with: sqlite3 FILE 'PRAGMA integrity_check'"
        raise Broke(f"{path}: {why}", hint if "not a database" in str(why) else "check the permissions") from None
    return database


def tables(database: sqlite3.Connection) -> List[str]:
    """The names of its tables and views."""
    found = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
    return [name for (name,) in found]

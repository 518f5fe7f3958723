"""Tables as a stream of rows: CSV files (plain or gzip) and SQLite tables or queries."""

from __future__ import annotations

import math
import re
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from . import instants
from .broke import Broke
from .wording import listed, shown, suggestion

CELL_LIMIT = 1 << 20  # characters in one cell or line; more is a broken file, not data

# What other systems call our columns; only ever used to word a hint.
_ALIASES = {
    "timestamp": ("created_at", "time", "ts", "date", "datetime", "at", "event_time"),
    "model": ("model_name", "name"),
    "version": ("model_version",),
    "endpoint": ("path", "route", "url", "handler"),
    "predicted": ("prediction", "y_pred", "output", "predicted_class"),
    "actual": ("label", "y_true", "target", "truth", "ground_truth"),
    "score": ("probability", "proba", "confidence", "p"),
    "latency_ms": ("latency", "duration_ms", "model_ms", "prediction_ms"),
    "response_ms": ("response_time_ms", "request_ms", "api_ms"),
    "status": ("status_code", "http_status", "code"),
    "query": ("sql", "statement"),
    "total_ms": ("total_time", "total_exec_time"),
    "mean_ms": ("mean_time", "mean_exec_time", "avg_ms"),
    "trained_at": ("trained", "training_date", "created_at"),
}
_WHOLE = re.compile(r"(-?\d+)\.0+")

Row = Tuple[int, Sequence[Any]]


class Table:
    """A named table with a header. A subclass says how its rows are read, each time anew.

    name     how people know it: the file, or file and table
    columns  its header
    mapping  our name of a column -> its name in this table, where they differ
    missing  the texts that mean "no value"; the empty cell always does
    """

    def __init__(self, name: str, columns: List[str], mapping: Mapping[str, str], missing: FrozenSet[str]) -> None:
        self.name = name
        self.columns = columns
        self.missing = missing | {""}
        self._mapping = mapping
        self._places: Dict[str, int] = {c: i for i, c in enumerate(columns)}

    def rows(self) -> Iterator[Row]:
        """Every row as (number, cells), as many cells as columns; the number is that of `where`."""
        raise NotImplementedError

    def where(self, number: int) -> str:
        """The place of a row, as errors name it."""
        raise NotImplementedError

    def find(self, name: str) -> Optional[int]:
        """The place of the column that plays `name`, or None."""
        mapped = self._mapping.get(name)
        if mapped is not None and mapped in self._places:
            return self._places[mapped]
        return self._places.get(name)

    def need(self, name: str) -> int:
        """The place of the column that plays `name`; Broke when there is none."""
        at = self.find(name)
        if at is not None:
            return at
        wanted = self._mapping.get(name, name)
        raise Broke(f'{self.name}: no column "{shown(wanted)}"', self._column_hint(name, wanted))

    def _column_hint(self, name: str, wanted: str) -> str:
        if len(self.columns) == 1 and any(d in self.columns[0] for d in ";\t|"):
            return "the header looks like one column: name the separator with --delimiter ';' (or tab)"
        has = f"it has {listed(self.columns, 12)}"
        alias = next((c for c in self.columns if c.lower() in _ALIASES.get(name, ())), "")
        if alias:
            return f"map it with --column {name}={shown(alias)}; {has}"
        near = suggestion(wanted, self.columns)
        return f"{near} then --column {name}=…; {has}" if near else f"{has}; map one with --column {name}=…"

    def blank(self, cell: Any) -> bool:
        """Whether a cell holds no value."""
        return cell is None or (isinstance(cell, str) and cell.strip() in self.missing)

    def text(self, cell: Any) -> str:
        """A cell as text; a float without a fraction reads as an integer, so that 1.0 is the class 1."""
        if isinstance(cell, str):
            stripped = cell.strip()
            whole = _WHOLE.fullmatch(stripped) if stripped.endswith("0") else None
            return whole.group(1) if whole else stripped
        if isinstance(cell, float) and cell.is_integer():
            return str(int(cell))
        return str(cell)

    def number(self, cell: Any, column: str, at: int) -> float:
        """A cell as a finite number; Broke with its place when it is none."""
        try:
            number = float(cell)
            if isinstance(cell, str) and not (cell.isascii() and "_" not in cell):
                raise ValueError("Python reads it, others would not")
        except (TypeError, ValueError, OverflowError):
            raise Broke(
                f'{self.where(at)}: {shown(column)} is not a number: "{shown(cell)}"', self._number_hint(cell)
            ) from None
        if not math.isfinite(number):
            raise Broke(
                f'{self.where(at)}: {shown(column)} is not a finite number: "{shown(cell)}"',
                f"leave the cell empty for a missing value, or say --missing {shown(cell, 20)}",
            )
        return number

    def _number_hint(self, cell: Any) -> str:
        text = str(cell).strip()
        if re.fullmatch(r"-?\d+,\d+", text):
            return "decimals are written with a point: 1.5"
        if len(text) <= 20 and text:
            return f"correct the cell; if it means a missing value, say --missing {shown(text)}"
        return "correct the cell, or map another column with --column"

    def instant(self, cell: Any, at: int) -> float:
        """A timestamp cell as seconds since 1970; Broke with its place when it is none."""
        if isinstance(cell, (int, float)) and not isinstance(cell, bool):
            number = self.number(cell, "timestamp", at)
            return number / 1000 if number >= 1e11 else number
        try:
            return instants.parse(str(cell).strip())
        except ValueError:
            raise Broke(
                f'{self.where(at)}: not a timestamp: "{shown(cell)}"',
                "write 2026-01-31T08:00:00Z, or Unix time in seconds or milliseconds",
            ) from None

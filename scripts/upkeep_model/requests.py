"""The prediction log: one row for each request to a model."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import instants
from .broke import Broke
from .instants import Window
from .result import Result, WARNING, INFO
from .tables import Table
from .wording import shown, span

# Columns that describe a request; every other column of a log is a feature.
COLUMNS = (
    "timestamp", "request_id", "model", "version", "endpoint", "predicted", "actual", "score",
    "latency_ms", "response_ms", "status",
)
FAILED = frozenset("error errors failed failure fail timeout timed_out exception false".split())
PASSED = frozenset("ok success succeeded successful true pass passed done".split())
_CODE = re.compile(r"[1-5]\d\d")


class Request(NamedTuple):
    """One row. A cell without a value is None; model and version are "-" where the log does not say.

    latency, response  milliseconds that the model and the whole answer took
    failed             HTTP status 500 and above, or one of the words of FAILED
    """

    line: int
    time: float
    model: str
    version: str
    endpoint: Optional[str]
    predicted: Optional[str]
    actual: Optional[str]
    score: Optional[float]
    latency: Optional[float]
    response: Optional[float]
    failed: Optional[bool]
    cells: Sequence[Any]


class Requests:
    """The log, read as a stream as often as needed.

    After `between`: `oldest` and `newest` are the first and last instant seen, `total` the rows in the file, and `future` those
    that lie after the end of the window.
    """

    def __init__(self, table: Table, args: argparse.Namespace) -> None:
        self.table = table
        self.oldest = math.inf
        self.newest = 0.0
        self.total = 0
        self.future = 0
        self._most = args.max_rows
        self._time = table.need("timestamp")
        self._only: List[Tuple[int, str]] = []  # place of a column, and what its cell must be
        for name, wanted in (("model", args.model), ("version", args.model_version)):
            if wanted is not None:
                self._only.append((table.need(name), wanted))
        self._at = [table.find(name) for name in COLUMNS[2:]]

    def has(self, column: str) -> bool:
        return self.table.find(column) is not None

    def now(self, said: str) -> float:
        """The instant that --now means; `newest` reads the log once. Broke when the log has no rows."""
        newest = 0.0
        if said == "newest":
            newest = max((t for _, t, _ in self.timed()), default=0.0)
            if not newest:
                raise self._empty()
        return instants.now(said, newest)

    def between(self, *windows: Window) -> Iterator[Tuple[int, Request]]:
        """Every request in one of `windows`, with the number of its window, in the order of the log.

        Rows in the windows beyond --max-rows and a log without rows are Broke.
        """
        self.oldest, self.newest, self.total, self.future = math.inf, 0.0, 0, 0
        end = max(w.end for w in windows)
        kept = 0
        for line, at, cells in self.timed():
            self.total += 1
            self.newest = max(self.newest, at)
            self.oldest = min(self.oldest, at)
            if at > end:
                self.future += 1
                continue
            number = next((i for i, w in enumerate(windows) if w.start < at <= w.end), None)
            if number is None:
                continue
            kept += 1
            if kept > self._most:
                raise Broke(
                    f"{self.table.name}: more than {self._most} rows to work on",
                    "raise --max-rows, or narrow it with --window, --model or --query",
                )
            yield number, self._request(line, at, cells)
        if not self.total:
            raise self._empty()

    def judge_age(self, result: Result, now: float, max_age: float) -> None:
        """Records how old the newest row is, and as findings when that is too old or lies in the future."""
        age = max(0.0, now - self.newest)
        result.value("newest_age_seconds", age)
        result.output("newest", instants.written(self.newest))
        if age > max_age:
            result.finding(
                "stale-input", WARNING,
                f"the newest row is {span(age)} old ({instants.written(self.newest)}), the limit is {span(max_age)}: "
                "what happened since is not judged; check whatever writes the log",
            )
        if self.future:
            result.finding(
                "rows-from-the-future", WARNING,
                f"{self.future} rows lie after {instants.written(now)} and are left out; check clocks and time zones",
            )
        if getattr(self.table, "unfinished", False):
            result.finding("unfinished-line", INFO, "the last line of the log is still being written and is left out")

    def _empty(self) -> Broke:
        narrowed = bool(self._only)
        return Broke(
            f"{self.table.name}: no rows" + (" of that model and version" if narrowed else ""),
            "check --model and --model-version" if narrowed else "an empty log is nothing to measure; check its writer",
        )

    def timed(self) -> Iterator[Tuple[int, float, Sequence[Any]]]:
        """Every row of the chosen model and version as (line, instant, cells)."""
        table, place = self.table, self._time
        for line, cells in table.rows():
            if self._only and any(str(cells[at]).strip() != wanted for at, wanted in self._only):
                continue
            yield line, table.instant(cells[place], line), cells

    def _request(self, line: int, at: float, cells: Sequence[Any]) -> Request:
        model, version, endpoint, predicted, actual, score, latency, response, status = self._at
        return Request(
            line, at,
            self._name(cells, model), self._name(cells, version),
            self._label(cells, endpoint), self._label(cells, predicted), self._label(cells, actual),
            self._number(cells, score, "score", line, 1.0),
            self._number(cells, latency, "latency_ms", line),
            self._number(cells, response, "response_ms", line),
            self._failed(cells, status, line), cells,
        )

    def _name(self, cells: Sequence[Any], place: Optional[int]) -> str:
        # A version is a name: 5.0 must not become 5.
        if place is None or self.table.blank(cells[place]):
            return "-"
        return str(cells[place]).strip()

    def _label(self, cells: Sequence[Any], place: Optional[int]) -> Optional[str]:
        if place is None or self.table.blank(cells[place]):
            return None
        return self.table.text(cells[place])

    def _number(
        self, cells: Sequence[Any], place: Optional[int], name: str, line: int, most: Optional[float] = None
    ) -> Optional[float]:
        if place is None or self.table.blank(cells[place]):
            return None
        number = self.table.number(cells[place], name, line)
        if number < 0 or (most is not None and number > most):
            allowed = f"between 0 and {most:g}" if most is not None else "0 or more"
            raise Broke(
                f"{self.table.where(line)}: {name} is {number:g}, but must be {allowed}",
                f"map another column with --column {name}=NAME, or correct the log",
            )
        return number

    def _failed(self, cells: Sequence[Any], place: Optional[int], line: int) -> Optional[bool]:
        if place is None or self.table.blank(cells[place]):
            return None
        word = self.table.text(cells[place]).lower()
        if _CODE.fullmatch(word):
            return word >= "500"
        if word in FAILED or word in PASSED:
            return word in FAILED
        raise Broke(
            f'{self.table.where(line)}: status "{shown(word)}" is neither an HTTP code nor a known word',
            "known words: ok success passed … and error failed timeout …; map another column with --column status=NAME",
        )


def windows(now: float, window: float, baseline: float) -> List[Window]:
    """The window that ends now, and the one of `baseline` seconds before it when that is above 0."""
    current = Window(now - window, now)
    return [current, current.before(baseline)] if baseline else [current]

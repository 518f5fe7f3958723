"""One feature in the reference and in current data: what was counted, and how far the two lie apart."""

from __future__ import annotations

import re
from array import array
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import bins
from .broke import Broke
from .chisquare import same_shares
from .samples import kolmogorov_smirnov
from .tables import Table
from .wording import shown

SNIFFED_ROWS = 1000
MOST_NEW_NAMES = 1000  # names of new categories that are kept; all of them are counted
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Counts = List[int]


class Feature:
    """A column in both tables. `add_reference` for every reference row, then `close`, then `add`.

    rows, missing            current rows, and how many of them have no value
    reference_rows, reference_missing   the same for the reference
    daily                    UTC day number -> counts of current values in `cells()` order
    """

    kind = ""
    test = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.missing = 0
        self.reference_rows = self.reference_missing = 0
        self.daily: Dict[int, Counts] = {}

    def add_reference(self, table: Table, cell: Any, line: int) -> None:
        self.reference_rows += 1
        if table.blank(cell):
            self.reference_missing += 1
        else:
            self._learn(table, cell, line)

    def add(self, table: Table, cell: Any, line: int, day: int) -> None:
        self.rows += 1
        if table.blank(cell):
            self.missing += 1
            return
        place = self._place(table, cell, line)
        counts = self.daily.get(day)
        if counts is None:
            counts = self.daily[day] = [0] * self.width()
        counts[place] += 1

    def close(self) -> None:
        """Ends the reference; bins stand from here on."""
        raise NotImplementedError

    def width(self) -> int:
        """How many cells the index is computed over."""
        raise NotImplementedError

    def reference_counts(self) -> Counts:
        raise NotImplementedError

    def distance(self) -> Tuple[float, float]:
        """The size of the change that `test` sees, 0 to 1, and its p-value."""
        raise NotImplementedError

    def _learn(self, table: Table, cell: Any, line: int) -> None:
        raise NotImplementedError

    def _place(self, table: Table, cell: Any, line: int) -> int:
        raise NotImplementedError

    def values(self) -> int:
        """How many current rows have a value."""
        return self.rows - self.missing

    def reference_values(self) -> int:
        return self.reference_rows - self.reference_missing

    def current_counts(self, since: Optional[int] = None) -> Counts:
        """Counts over all days, or over those from day `since` on."""
        total = [0] * self.width()
        for day, counts in self.daily.items():
            if since is None or day >= since:
                total = [a + b for a, b in zip(total, counts)]
        return total

    def stability(self, counts: Optional[Counts] = None) -> float:
        """The population stability index of the current counts, or of `counts`."""
        return bins.stability_index(self.reference_counts(), self.current_counts() if counts is None else counts)

    def noise(self, n: Optional[int] = None) -> float:
        """The index that chance alone exceeds in 5 % of cases with `n` current values."""
        used = sum(1 for c in self.reference_counts() if c)
        return bins.stability_noise(used, self.reference_values(), n or self.values())

    def since(self, limit: float) -> Optional[int]:
        """The first day from which on the index lies beyond `limit`, being more than chance on that day itself."""
        for day in sorted(self.daily):
            counts = self.daily[day]
            n = sum(counts)
            if n < 30:
                continue
            if self.stability(counts) >= max(limit, self.noise(n)) and self.stability(self.current_counts(day)) >= limit:
                return day
        return None


class NumericFeature(Feature):
    """Bins by quantiles of the reference, and the Kolmogorov-Smirnov test."""

    kind = "numeric"
    test = "ks"

    def __init__(self, name: str, most_bins: int) -> None:
        super().__init__(name)
        self._most_bins = most_bins
        self._reference: Sequence[float] = array("d")
        self._current = array("d")
        self._inner: List[float] = []
        self._counts: Counts = []

    def close(self) -> None:
        self._reference = sorted(self._reference)
        if self._reference:
            self._inner = bins.edges(self._reference, self._most_bins)
            self._counts = bins.counts(self._inner, self._reference)

    def width(self) -> int:
        return len(self._inner) + 1

    def reference_counts(self) -> Counts:
        return self._counts

    def distance(self) -> Tuple[float, float]:
        found = kolmogorov_smirnov(self._reference, sorted(self._current))
        return found.distance, found.p

    def _learn(self, table: Table, cell: Any, line: int) -> None:
        self._reference.append(table.number(cell, self.name, line))  # type: ignore[attr-defined]

    def _place(self, table: Table, cell: Any, line: int) -> int:
        number = table.number(cell, self.name, line)
        self._current.append(number)
        return bins.place(self._inner, number)


class CategoricalFeature(Feature):
    """A cell for each category of the reference and one for all new ones, and the chi-square test."""

    kind = "categorical"
    test = "chi2"

    def __init__(self, name: str, most: int) -> None:
        super().__init__(name)
        self._most = most
        self._tallied: Dict[str, int] = {}
        self._known: Dict[str, int] = {}
        self._counts: Counts = []
        self.too_many = False
        self.new: Dict[str, int] = {}
        self.new_rows = 0

    def close(self) -> None:
        ordered = sorted(self._tallied)
        self._counts = [self._tallied[c] for c in ordered] + [0]
        self._known = {category: i for i, category in enumerate(ordered)}

    def width(self) -> int:
        return len(self._known) + 1

    def reference_counts(self) -> Counts:
        return self._counts

    def distance(self) -> Tuple[float, float]:
        found = same_shares(self._counts, self.current_counts())
        return min(1.0, found.v), found.p

    def _learn(self, table: Table, cell: Any, line: int) -> None:
        category = table.text(cell)
        self._tallied[category] = self._tallied.get(category, 0) + 1
        if len(self._tallied) > self._most:
            self.too_many = True
            self._tallied.clear()

    def _place(self, table: Table, cell: Any, line: int) -> int:
        category = table.text(cell)
        place = self._known.get(category)
        if place is not None:
            return place
        self.new_rows += 1
        if category in self.new or len(self.new) < MOST_NEW_NAMES:
            self.new[category] = self.new.get(category, 0) + 1
        return len(self._known)


def is_numeric(table: Table, place: int, name: str) -> bool:
    """Whether a column of the reference is numeric: more than 10 different values in its first 1,000 rows, all numbers.

    A column that mixes mostly numbers with other texts is Broke with the place of the first such text:
    counted as categories it would hide a broken export.
    """
    different = set()
    numbers = others = 0
    first_other: Tuple[int, Any] = (0, "")
    for seen, (line, cells) in enumerate(table.rows()):
        if seen >= SNIFFED_ROWS:
            break
        cell = cells[place]
        if table.blank(cell):
            continue
        text = str(cell).strip()
        if _NUMBER.fullmatch(text):
            numbers += 1
            different.add(float(text))
        else:
            others += 1
            first_other = first_other if first_other[0] else (line, cell)
    if numbers > others > 0:
        line, cell = first_other
        raise Broke(
            f'{table.where(line)}: {shown(name)} is not a number: "{shown(cell)}"',
            f"{numbers} other cells are numbers; correct it, name a missing value with --missing {shown(cell, 20)}, "
            f"or say --categorical {shown(name)}",
        )
    return not others and len(different) > 10

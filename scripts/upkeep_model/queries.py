"""Statistics of database queries: reading them, and what in them is worth a look."""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from typing import Dict, List, NamedTuple, Optional

from .broke import Broke
from .result import INFO, Result, WARNING
from .samples import quantile
from .tables import Table
from .wording import Slugs, percent, shown, span

_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_DOLLARS = re.compile(r"\$([A-Za-z_]*)\$.*?\$\1\$", re.DOTALL)
_ESCAPED = re.compile(r"'.*'", re.DOTALL)
_TEXTS = re.compile(r"'(?:[^']|'')*'")
_OPEN_TEXT = re.compile(r"'[^']*$")
_MYSQL_TEXTS = re.compile(r'([=<>(,]\s*|\blike\s+)"[^"]*(?:"|$)', re.IGNORECASE)
_NUMBERS = re.compile(r"(?<![\w$.])(?:0[xX][0-9a-fA-F]+|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\b")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_VERB = re.compile(r"[a-z]+")


class Query(NamedTuple):
    """One statement with its literals replaced; rows is None when not known."""

    text: str
    calls: int
    total_ms: float
    rows: Optional[float]

    @property
    def mean_ms(self) -> float:
        return self.total_ms / self.calls


def normalized(text: str) -> str:
    """The statement on one line with `?` for every literal, so that secrets stay out and repeats add up.

    Where dialects disagree about what ends a literal, more is hidden rather than less: with a backslash
    before a quote everything from the first to the last quote, after an unpaired quote everything, and a
    text in double quotes where a value may stand, as MySQL takes it for one.
    """
    plain = _COMMENTS.sub(" ", text)
    plain = _DOLLARS.sub("?", plain)
    if "\\'" in plain:
        plain = _ESCAPED.sub("?", plain)
    plain = _TEXTS.sub("?", plain)
    plain = _OPEN_TEXT.sub("?", plain)
    plain = _MYSQL_TEXTS.sub(r"\1?", plain)
    plain = _NUMBERS.sub("?", plain)
    return _LISTS.sub("(?)", shown(plain, 4000))


def read(table: Table, most: int) -> List[Query]:
    """All statements, those that differ only in literals as one, the one with most total time first."""
    query, calls = table.need("query"), table.need("calls")
    total, mean, rows = table.find("total_ms"), table.find("mean_ms"), table.find("rows")
    if total is None and mean is None:
        table.need("total_ms")
    found: Dict[str, Query] = {}
    for number, (line, cells) in enumerate(table.rows(), 1):
        if number > most:
            raise Broke(f"{table.name}: more than {most} rows to work on", "raise --max-rows, or narrow it with a query")
        if table.blank(cells[query]):
            continue
        count = _amount(table, cells[calls], "calls", line)
        if count != int(count):
            raise Broke(f"{table.where(line)}: calls is {count:g}, but must be a whole number", "correct the cell")
        if count == 0:
            continue
        if total is not None and not table.blank(cells[total]):
            spent = _amount(table, cells[total], "total_ms", line)
        elif mean is not None:
            spent = _amount(table, cells[mean], "mean_ms", line) * count
        else:
            raise Broke(f"{table.where(line)}: total_ms is empty", "give total_ms or mean_ms")
        returned = None
        if rows is not None and not table.blank(cells[rows]):
            returned = _amount(table, cells[rows], "rows", line)
        one = Query(normalized(str(cells[query])), int(count), spent, returned)
        found[one.text] = _added(found.get(one.text), one)
    return sorted(found.values(), key=lambda q: (-q.total_ms, q.text))


def _amount(table: Table, cell: object, name: str, line: int) -> float:
    number = table.number(cell, name, line)
    if number < 0:
        raise Broke(f"{table.where(line)}: {name} is {number:g}, but must be 0 or more", "correct the cell")
    return number


def _added(before: Optional[Query], one: Query) -> Query:
    if before is None:
        return one
    rows = None if before.rows is None or one.rows is None else before.rows + one.rows
    return Query(one.text, before.calls + one.calls, before.total_ms + one.total_ms, rows)


def judge(result: Result, args: argparse.Namespace, queries: List[Query]) -> None:
    """Records totals, and findings about slow, heavy, wide and repeated statements, each with a next step."""
    total = math.fsum(q.total_ms for q in queries)
    result.value("queries", len(queries))
    result.value("query_calls", sum(q.calls for q in queries))
    result.value("query_seconds", total / 1000)
    if not queries:
        result.finding("no-queries", WARNING, "the list of queries is empty: nothing was judged; is the collection on?")
        return
    slugs = Slugs()
    slow = [q for q in queries if q.mean_ms >= args.slow_query * 1000]
    result.value("slow_queries", len(slow))
    for q in slow[: args.top]:
        result.finding(f"slow-query.{_slug(slugs, q)}", WARNING,
                       f"slow query, mean {q.mean_ms:.0f} ms over {q.calls} calls ({percent(q.total_ms / total)} of all "
                       f"query time): {shown(q.text, 160)}. Next: EXPLAIN (ANALYZE, BUFFERS) it; {_advice(q)}")
    repeated = [q for q in queries if is_repeated(args, q, queries)]
    result.value("repeated_queries", len(repeated))
    for q in repeated[: args.top]:
        result.finding(f"repeated-query.{_slug(slugs, q)}", WARNING,
                       f"{q.calls} calls of {q.mean_ms:.2g} ms each, {span(q.total_ms / 1000)} in all, look like one "
                       f"query per row (N+1): {shown(q.text, 160)}. Next: fetch the rows in one query with a join or = ANY(…)")
    known = slow + repeated
    for q in queries[: args.top]:
        share = q.total_ms / total if total else 0.0
        if share >= args.heavy_share and q not in known and len(queries) > 1:
            result.finding(f"heavy-query.{_slug(slugs, q)}", INFO,
                           f"{percent(share)} of all query time, mean {q.mean_ms:.2g} ms over {q.calls} calls: "
                           f"{shown(q.text, 160)}. Next: call it less often, or cache what it returns")
        if q.rows is not None and q.rows / q.calls >= args.wide_rows and q not in known:
            result.finding(f"wide-query.{_slug(slugs, q)}", INFO,
                           f"{q.rows / q.calls:.0f} rows per call: {shown(q.text, 160)}. Next: add a LIMIT, page by key, "
                           "or aggregate in the database")


def is_repeated(args: argparse.Namespace, q: Query, queries: List[Query]) -> bool:
    """Whether a statement looks like one that is called for every row of another.

    It reads from a table, is called at least --repeated-calls times and 10 times as often as the median of the
    other statements that do, takes at most 5 ms, and returns at most two rows per call where that is known.
    """
    others = sorted(o.calls for o in queries if o is not q and _reads(o))
    if not _reads(q) or not others or q.mean_ms > 5 or (q.rows is not None and q.rows > 2 * q.calls):
        return False
    return q.calls >= args.repeated_calls and q.calls >= 10 * quantile(others, 0.5)


def _reads(q: Query) -> bool:
    text = q.text.lower()
    return text.startswith(("select", "with")) and " from " in text


def _advice(q: Query) -> str:
    text = q.text.lower()
    if q.rows is not None and q.rows / q.calls >= 1000:
        return "it returns many rows: page by key or aggregate"
    if " where " in text and " order by " in text:
        return "an index on the WHERE columns followed by the ORDER BY columns lets it stop early"
    if " group by " in text and " where " not in text:
        return "it reads the whole table: keep a running sum or a materialized view"
    if " where " in text:
        return "look for a sequential scan, and index the WHERE columns (CREATE INDEX CONCURRENTLY)"
    return "look for a sequential scan"


def _slug(slugs: Slugs, q: Query) -> str:
    # Readable and the same every day: verb, first table, and a short hash of the whole text.
    verb = _VERB.match(q.text.lower())
    table = re.search(r"\b(?:from|into|update|join)\s+([\w.\"]+)", q.text, re.IGNORECASE)
    parts = [verb.group(0) if verb else "query", table.group(1) if table else ""]
    digest = hashlib.sha256(q.text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return slugs.of("-".join(p for p in parts if p)[:36] + "-" + digest)

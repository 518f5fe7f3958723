"""Reading input: what is accepted, and what breaks with file, line and hint."""

from __future__ import annotations

import gzip
import os
import sqlite3
import unittest
from typing import Any, List

from support import DRIFT, HEADER, NOON, OPTIMIZATION, PERFORMANCE, REPORT, RETRAINING, Case, requests
from upkeep_model import instants
from upkeep_model.broke import Broke
from upkeep_model.csvtable import CsvTable
from upkeep_model.sqlitetable import SqliteTable

NOTHING: Any = frozenset()


class Instants(unittest.TestCase):
    def test_parse(self) -> None:
        # 2026-03-10 is day 20522 since 1970-01-01: 56 years of 365 days, 14 leap days, and 31 + 28 + 9 days.
        midnight = (56 * 365 + 14 + 31 + 28 + 9) * 86400
        noon = midnight + 43200
        for text, want in (
            ("2026-03-10", midnight), ("2026-03-10T12:00:00Z", noon), ("2026-03-10 12:00:00", noon),
            ("2026-03-10T12:00Z", noon), ("2026-03-10T12:00:00.25Z", noon + 0.25), ("2026-03-10T12:00:00,5", noon + 0.5),
            ("2026-03-10T13:00:00+01:00", noon), ("2026-03-10T08:30:00-0330", noon), ("2026-03-10 12:00:00 UTC", noon),
            ("2026-03-10T13:00:00+01", noon), ("2026-03-10 12:00:00.123456789+00", noon + 0.123456789),
            (str(noon), noon), (f"{noon}.5", noon + 0.5), (f"{noon}000", noon),
        ):
            self.assertAlmostEqual(instants.parse(text), want, 6, text)
        self.assertEqual(instants.written(noon), NOON)

    def test_refused(self) -> None:
        for text in ("", "yesterday", "2026-13-01", "2026-02-30", "2026-03-10T25:00:00Z", "20260310", "10.03.2026",
                     "2026-03-10T12:00:00+1", "12", "nan", "1e9", "2026-03-10T12:60:00Z", "٢٠٢٦-03-10"):
            with self.assertRaises(ValueError, msg=text):
                instants.parse(text)


class Csv(Case):
    def rows(self, content: str, delimiter: str = ",") -> List[Any]:
        table = CsvTable(self.text("t.csv", content), delimiter, {}, NOTHING)
        return [cells for _, cells in table.rows()]

    def refused(self, content: bytes, says: str, hint: str = "") -> None:
        path = self.bytes("t.csv", content)
        with self.assertRaises(Broke) as caught:
            list(CsvTable(path, ",", {}, NOTHING).rows())
        self.assertIn(says, caught.exception.what)
        self.assertIn(path, caught.exception.what)
        self.assertIn(hint, caught.exception.hint)

    def test_quotes_and_line_ends(self) -> None:
        self.assertEqual(self.rows('a,b\r\n1,"x,\r\ny ""z"""\r\n\r\n2,=1+2\r\n'), [["1", 'x,\r\ny "z"'], ["2", "=1+2"]])
        self.assertEqual(self.rows("\ufeffa;b\n1;2\n", ";"), [["1", "2"]])
        self.assertEqual(self.rows("a,b\n1,2"), [["1", "2"]])
        self.assertEqual(self.rows("a\tb\n,\t\n", "\t"), [[",", ""]])

    def test_line_numbers_are_those_of_the_file(self) -> None:
        table = CsvTable(self.text("t.csv", 'a,b\n1,"x\ny"\n\n3,4\n'), ",", {}, NOTHING)
        self.assertEqual([line for line, _ in table.rows()], [2, 5])

    def test_gzip(self) -> None:
        table = CsvTable(self.bytes("t.csv.gz", gzip.compress(b"a,b\n1,2\n")), ",", {}, NOTHING)
        self.assertEqual(list(table.rows()), [(2, ["1", "2"])])
        cut = gzip.compress(os.urandom(50000).hex().encode() + b"\n")[:20000]
        self.refused(cut, "broken gzip", "gzip -t")

    def test_hostile(self) -> None:
        self.refused(b"", "empty")
        self.refused(b"\n", "empty")
        self.refused(b"a,b\n1,2\n\0\0,3\n", ":3: the line holds a NUL")
        self.refused(b"a,b\n1,2,3\n", ":2: the row has 3 cells, the header has 2", "quote cells")
        self.refused(b"a,b\n1\n2,3\n", ":2: the row has 1 cells")
        self.refused(b"a,a\n1,2\n", ":1: column a appears twice")
        self.refused(b'a,b\n1,"open\n2,3\n', "unexpected end of data", "closing quote")
        self.refused(b'a,b\n1,"x"y\n', ":2: ", '""this""')
        self.refused(b"a,b\n1,\xe9\n", "not UTF-8", "iconv")
        self.refused("a,b\n1,2\n".encode("utf-16"), "not a UTF-8 CSV", "UTF-16")
        self.refused(b"a,b\n1," + b"x" * (1 << 21) + b"\n", "longer than 1048576 characters")
        self.refused(b'a,b\n1,"' + (b"x" * 70 + b"\n") * 20000 + b'"\n', "field larger than field limit")

    def test_an_unfinished_last_line_is_left_out(self) -> None:
        table = CsvTable(self.text("t.csv", "a,b\n1,2\n3"), ",", {}, NOTHING)
        self.assertEqual([cells for _, cells in table.rows()], [["1", "2"]])
        self.assertTrue(table.unfinished)

    def test_no_file(self) -> None:
        self.text("predictions.csv", "a\n")
        with self.assertRaises(Broke) as caught:
            CsvTable(self.path("prediction.csv"), ",", {}, NOTHING)
        self.assertIn("no such file", caught.exception.what)
        self.assertIn('did you mean "predictions.csv"?', caught.exception.hint)
        with self.assertRaises(Broke) as caught:
            CsvTable(self.folder, ",", {}, NOTHING)
        self.assertIn("not a regular file", caught.exception.what)
        with self.assertRaises(Broke):
            CsvTable("a\0b", ",", {}, NOTHING)


class Sqlite(Case):
    def database(self, *statements: str) -> str:
        path = self.path("app ?#%.db")  # characters that mean something in a URI
        base = sqlite3.connect(path)
        for statement in statements:
            base.execute(statement)
        base.commit()
        base.close()
        return path

    def test_table_view_and_query(self) -> None:
        path = self.database('CREATE TABLE "t""x" (a, b)', 'INSERT INTO "t""x" VALUES (1, NULL), (2.5, \'y\')')
        self.assertEqual([c for _, c in SqliteTable(path, 't"x', "", {}, NOTHING).rows()], [(1, None), (2.5, "y")])
        query = 'WITH q AS (SELECT a * 2 AS z FROM "t""x") SELECT z FROM q ORDER BY z'
        self.assertEqual([c for _, c in SqliteTable(path, "", query, {}, NOTHING).rows()], [(2,), (5.0,)])

    def test_both_passes_see_one_snapshot_of_a_database_in_use(self) -> None:
        path = self.database("PRAGMA journal_mode=WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
        table = SqliteTable(path, "t", "", {}, NOTHING)
        first = list(table.rows())
        writer = sqlite3.connect(path)
        writer.execute("INSERT INTO t VALUES (2)")
        writer.commit()
        writer.close()
        self.assertEqual(list(table.rows()), first)
        self.assertEqual(len(list(SqliteTable(path, "t", "", {}, NOTHING).rows())), 2)

    def test_a_query_can_only_read(self) -> None:
        path = self.database("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
        other = self.path("other.db")
        for query in ("DELETE FROM t", "DROP TABLE t", f"ATTACH DATABASE '{other}' AS o", "PRAGMA journal_mode=WAL",
                      "INSERT INTO t VALUES (2) RETURNING a", "CREATE TABLE x (a)", "SELECT load_extension('x')",
                      "SELECT 1; DROP TABLE t", "VACUUM INTO '" + other + "'", "nonsense", "SELECT nothing FROM t"):
            with self.assertRaises(Broke, msg=query):
                list(SqliteTable(path, "", query, {}, NOTHING).rows())
        self.assertFalse(os.path.exists(other))
        self.assertEqual(len(list(SqliteTable(path, "t", "", {}, NOTHING).rows())), 1)

    def test_refused(self) -> None:
        path = self.database("CREATE TABLE predictions (a)", "CREATE TABLE blobs (b)", "INSERT INTO blobs VALUES (x'00ff')")
        for table, query, says, hint in (
            ("prediction", "", 'no table "prediction"', 'did you mean "predictions"?'),
            ("blobs", "", "holds a blob", "--query"),
            ("", "SELECT a, a FROM predictions", "two columns have one name", "AS"),
        ):
            with self.assertRaises(Broke) as caught:
                list(SqliteTable(path, table, query, {}, NOTHING).rows())
            self.assertIn(says, caught.exception.what)
            self.assertIn(hint, caught.exception.hint)
        with self.assertRaises(Broke) as caught:
            SqliteTable(self.text("x.db", "not a database, but long enough to be looked at" * 100), "t", "", {}, NOTHING)
        self.assertIn("not a database", caught.exception.what)


class Columns(Case):
    """Errors of input as a user meets them, through a script."""

    def test_missing_column(self) -> None:
        path = self.table("p.csv", ("created_at", "predicted", "actual"), [(NOON, 1, 1)])
        self.broke(PERFORMANCE, "--predictions", path, says='p.csv: no column "timestamp"',
                   hint="--column timestamp=created_at")
        path = self.table("p.csv", ("timestamp", "prediktion", "actual"), [(NOON, 1, 1)])
        self.broke(PERFORMANCE, "--predictions", path, says='no column "predicted"', hint='did you mean "prediktion"?')
        path = self.text("p.csv", "timestamp;predicted;actual\n")
        self.broke(PERFORMANCE, "--predictions", path, says='no column "timestamp"', hint="--delimiter")

    def test_cells(self) -> None:
        for column, cell, says, hint in (
            ("latency_ms", "fast", ':3: latency_ms is not a number: "fast"', "--missing fast"),
            ("latency_ms", "1,5", ":3: latency_ms is not a number", "decimals are written with a point"),
            ("latency_ms", "nan", ":3: latency_ms is not a finite number", "--missing nan"),
            ("latency_ms", "inf", ":3: latency_ms is not a finite number", "leave the cell empty"),
            ("latency_ms", "1e999", ":3: latency_ms is not a finite number", ""),
            ("latency_ms", "1_000", ":3: latency_ms is not a number", ""),
            ("latency_ms", "-3", ":3: latency_ms is -3, but must be 0 or more", "--column latency_ms="),
            ("score", "1.2", ":3: score is 1.2, but must be between 0 and 1", "--column score="),
            ("timestamp", "soon", ':3: not a timestamp: "soon"', "2026-01-31"),
            ("timestamp", "", ':3: not a timestamp: ""', ""),
            ("status", "maybe", ':3: status "maybe" is neither', "--column status="),
        ):
            rows = requests(2)
            rows[1][HEADER.index(column)] = cell
            path = self.table("p.csv", HEADER, rows)
            self.broke(PERFORMANCE, "--predictions", path, "--now", NOON, says=says, hint=hint)

    def test_missing_texts(self) -> None:
        rows = requests(150, latency_ms=lambda i: "NaN" if i % 2 else 10, actual=lambda i: "null" if i < 10 else "1")
        path = self.table("p.csv", HEADER, rows)
        ran = self.measured(PERFORMANCE, "--predictions", path, "--now", NOON, "--missing", "NaN", "--missing", "null")
        self.assertEqual(ran.result["values"]["labelled"], 140)
        self.assertEqual(ran.result["values"]["latency_p50_seconds"], 0.01)

    def test_empty(self) -> None:
        path = self.table("p.csv", HEADER, [])
        for script, more in ((PERFORMANCE, ()), (REPORT, ()), (OPTIMIZATION, ()), (DRIFT, ("--reference", path)),
                             (RETRAINING, ("--models", self.table("m.csv", ("model", "version", "trained_at"),
                                                                  [("m", "1", "2026-01-01")])))):
            for now in ("newest", NOON):
                self.broke(script, "--predictions", path, "--now", now, *more, says="no rows", hint=" ")
        path = self.table("p.csv", HEADER, requests(3))
        self.broke(PERFORMANCE, "--predictions", path, "--model", "other", says="no rows of that model", hint="--model")

    def test_default_file(self) -> None:
        self.broke(PERFORMANCE, says="data/predictions.csv: no such file", hint="--predictions FILE")
        os.mkdir(self.path("data"))
        self.table("data/predictions.csv", HEADER, requests(120))
        self.measured(PERFORMANCE, "--now", "newest")
        self.broke(DRIFT, "--now", "newest", says="data/reference.csv: no such file", hint="--reference FILE")
        self.broke(RETRAINING, "--now", "newest", says="models/models.csv: no such file", hint="--models FILE")

    def test_max_rows(self) -> None:
        path = self.table("p.csv", HEADER, requests(120))
        self.broke(PERFORMANCE, "--predictions", path, "--now", "newest", "--max-rows", "119",
                   says="more than 119 rows", hint="raise --max-rows")
        self.measured(PERFORMANCE, "--predictions", path, "--now", "newest", "--max-rows", "120")

    def test_sqlite_gives_the_same_result_as_csv(self) -> None:
        rows = requests(300, actual=lambda i: i % 10 and 1 or 0, predicted=1, score=lambda i: (i % 7) / 7,
                        latency_ms=lambda i: 5 + i % 50, status=lambda i: 200)
        base = sqlite3.connect(self.path("p.db"))
        base.execute(f"CREATE TABLE log ({', '.join(HEADER)})")
        base.executemany(f"INSERT INTO log VALUES ({', '.join('?' * len(HEADER))})", rows)
        base.commit()
        base.close()
        a = self.measured(PERFORMANCE, "--predictions", self.table("p.csv", HEADER, rows), "--now", "newest")
        b = self.measured(PERFORMANCE, "--sqlite", "p.db", "--table", "log", "--now", "newest")
        c = self.measured(PERFORMANCE, "--sqlite", "p.db", "--query", "SELECT * FROM log ORDER BY rowid DESC", "--now", "newest")
        self.assertEqual(a.result, b.result)
        self.assertEqual(a.result["values"], c.result["values"])

    def test_usage(self) -> None:
        p = self.table("p.csv", HEADER, requests(3))
        for args, says, hint in (
            (("--predicions", p), "unrecognized arguments: --predicions", 'did you mean "--predictions"?'),
            (("--predictions", p, "--window", "soon"), "argument --window", "--help"),
            (("--predictions", p, "--window", "0s"), "argument --window", "--help"),
            (("--predictions", p, "--min-accuracy", "93"), '"93" is not a share', "--help"),
            (("--predictions", p, "--max-rows", "0"), "argument --max-rows", "--help"),
            (("--predictions", p, "--delimiter", ";;"), "argument --delimiter", "--help"),
            (("--predictions", p, "--column", "timestamp"), "argument --column", "--help"),
            (("--predictions", p, "--now", "later"), '--now "later"', "newest"),
            (("--predictions", p, "--table", "t"), "exclude each other", "one of them"),
            (("--table", "t"), "--table needs a database", "--sqlite"),
            (("--sqlite", "p.db"), "no table named", "--table NAME"),
            (("--predictions", p, "--positive", "yes", "--now", "newest"), '--positive "yes" is not among', "one of them"),
        ):
            self.broke(PERFORMANCE, *args, says=says, hint=hint, code=2)
        self.broke(PERFORMANCE, "--sqlite", p, "--table", "t", says="not a database", hint="integrity_check")
        self.broke(PERFORMANCE, "--predictions", "p.csv/x", says="p.csv/x: ")


if __name__ == "__main__":
    unittest.main()

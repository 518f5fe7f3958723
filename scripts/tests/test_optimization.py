"""performance_optimization_review.py: what it finds, what it keeps to itself, and its numbers."""

from __future__ import annotations

import os
import unittest
from typing import Any, List, Sequence

from support import DATA, HEADER, NOON, OPTIMIZATION, Case, Ran, requests
from upkeep_model import queries

QUERIES = ("query", "calls", "total_ms", "mean_ms", "rows")


class Review(Case):
    def review(self, rows: List[Any], statements: Sequence[Sequence[Any]] = (), *args: str, header: Any = None) -> Ran:
        log = self.table("p.csv", header or HEADER, rows)
        more = ("--slow-queries", self.table("q.csv", QUERIES, statements)) if statements else ()
        return self.measured(OPTIMIZATION, "--predictions", log, "--now", NOON, *more, *args)

    def only(self, ran: Ran, *starts: str) -> List[str]:
        return [i for i in ran.ids() if i.startswith(starts)]

    def test_endpoints_by_hand(self) -> None:
        # 300 of /a with 20 ms each are 6 s, 100 of /b with 250 ms each are 25 s.
        rows = requests(400, endpoint=lambda i: "/b" if i % 4 == 0 else "/a", response_ms=lambda i: 250 if i % 4 == 0 else 20)
        ran = self.review(rows)
        v = ran.result["values"]
        self.assertEqual((v["seconds_total.a"], v["seconds_total.b"], v["seconds_mean.b"]), (6.0, 25.0, 0.25))
        self.assertEqual(ran.result["outputs"]["slowest_by_total"], "/b")
        self.assertEqual(self.only(ran, "slow-endpoint"), ["slow-endpoint.b"])
        # The model took 10 of 250 ms: look elsewhere.
        self.assertIn("the model is 4 % of it. Next: look at queries", ran.finding("slow-endpoint.b")["text"])
        self.assertIn("80.6 % of all time", ran.finding("most-time")["text"])  # 25 of 31

    def test_long_tail(self) -> None:
        ran = self.review(requests(400, response_ms=lambda i: 180 if i % 50 == 0 else 10))
        self.assertEqual(self.only(ran, "long-tail", "slow-endpoint"), ["long-tail.p"])

    def test_concurrency_by_hand(self) -> None:
        # 200 rows, one a minute, and 599 more in the last one: 600 requests in the peak minute, 10 per second.
        # With 400 ms each: 4 at once. Suggested: 4 + 2*sqrt(4) = 8. The log covers 199 minutes: 799 of them.
        rows = requests(200, response_ms=400)
        rows += [list(rows[-1]) for _ in range(599)]
        v = self.review(rows).result["values"]
        self.assertEqual((v["concurrency_peak"], v["pool_suggested"]), (4.0, 8))
        self.assertAlmostEqual(v["concurrency_mean"], 799 / (199 * 60) * 0.4, 8)

    def test_slow_queries(self) -> None:
        ran = self.review(requests(200), [
            ("SELECT * FROM a WHERE x = $1 ORDER BY y", 10, 2000, 200, 10),
            ("SELECT b FROM t WHERE id = 1", 400, 400, 1, 400),
            ("SELECT sum(z) FROM w GROUP BY q", 10, "", 150, 50000),
            ("UPDATE u SET v = 1", 50, 1100, 22, ""),
        ])
        v = ran.result["values"]
        # 2000 + 400 + 10*150 + 1100 = 5000 ms
        self.assertEqual((v["query_seconds"], v["query_calls"], v["slow_queries"]), (5.0, 470, 2))
        slow = [ran.finding(i)["text"] for i in self.only(ran, "slow-query")]
        self.assertEqual(len(slow), 2)
        self.assertIn("mean 200 ms over 10 calls (40.0 % of all query time): SELECT * FROM a", slow[0])
        self.assertIn("index on the WHERE columns followed by the ORDER BY", slow[0])
        self.assertIn("page by key or aggregate", slow[1])
        self.assertEqual(len(self.only(ran, "heavy-query")), 1)  # the update: 22 % of the time
        self.assertTrue(all("Next: " in f["text"] for f in ran.result["findings"] if "query" in f["id"] and "." in f["id"]))

    def test_wide_queries(self) -> None:
        ran = self.review(requests(200), [("SELECT * FROM t", 10, 10, 1, 20000), ("SELECT a FROM b LIMIT 5", 10, 10, 1, 50)])
        self.assertEqual(len(self.only(ran, "wide-query")), 1)

    def test_n_plus_one(self) -> None:
        def repeated(calls: int, mean: float, rows: Any, text: str = "SELECT * FROM item WHERE id = $1") -> int:
            ran = self.review(requests(200), [
                (text, calls, calls * mean, mean, rows), ("SELECT * FROM page", 200, 400, 2, 4000),
                ("SELECT * FROM menu", 300, 600, 2, 300), ("INSERT INTO log VALUES ($1)", 100000, 100000, 1, 100000),
            ])
            return len(self.only(ran, "repeated-query"))

        self.assertEqual(repeated(5000, 0.5, 5000), 1)
        self.assertEqual(repeated(5000, 0.5, ""), 1)
        self.assertEqual(repeated(5000, 8, 5000), 0)  # not quick
        self.assertEqual(repeated(5000, 0.5, 500000), 0)  # many rows each
        self.assertEqual(repeated(2000, 0.5, 2000), 0)  # not 10 times the median of 250
        self.assertEqual(repeated(5000, 0.5, 5000, "SELECT 1"), 0)

    def test_statements_that_differ_in_literals_are_one(self) -> None:
        ran = self.review(requests(200), [
            ("SELECT * FROM t WHERE a = 'x' AND b IN (1, 2, 3)", 10, 1500, 150, 10),
            ("SELECT * FROM t WHERE a = 'it''s'  AND b IN (4,5)", 30, 4500, 150, 30),
        ])
        self.assertEqual(ran.result["values"]["queries"], 1)
        text = ran.finding(self.only(ran, "slow-query")[0])["text"]
        self.assertIn("over 40 calls", text)
        self.assertIn("a = ? AND b IN (?)", text)

    def test_literals_never_come_out(self) -> None:
        for statement in (
            "SELECT * FROM u WHERE p = 'hunter2'", "SELECT * FROM u WHERE p = E'it\\'s hunter2'",
            "SELECT * FROM u WHERE p = 'a\\'b' AND q = 'hunter2'", "SELECT * FROM u WHERE p = 'x' AND q = 'hunter2",
            "SELECT * FROM u WHERE p = $$hunter2$$", "SELECT * FROM u WHERE p = $tag$it's hunter2$tag$",
            'SELECT * FROM u WHERE p = "hunter2"', 'SELECT * FROM u WHERE p IN ("a", "hunter2")',
            "SELECT /* hunter2 */ 1 FROM u", "SELECT 1 FROM u -- hunter2\nWHERE 1 = 1",
            "SELECT * FROM u WHERE p LIKE \"hunter2%\"", "SELECT * FROM u WHERE p = 'multi\nline hunter2'",
            "SELECT * FROM u WHERE p = N'hunter2'", "INSERT INTO u VALUES ('it''s', 'hunter2')",
        ):
            shown = queries.normalized(statement)
            self.assertNotIn("hunter2", shown, statement)
            self.assertIn("u", shown.split())
        self.assertEqual(queries.normalized("SELECT a1, $1, -5, 1.5e3, 0xFF FROM t2 WHERE x=-1"),
                         "SELECT a1, $1, ?, ?, ? FROM t2 WHERE x=?")

    def test_cache_and_pool(self) -> None:
        def found(**counters: float) -> List[str]:
            path = self.table("c.csv", ("name", "value"), list(counters.items()))
            return self.only(self.review(requests(200), (), "--counters", path), "cache", "pool", "connections")

        self.assertEqual(found(cache_hits=900, cache_misses=100), [])
        self.assertEqual(found(cache_hits=700, cache_misses=300), ["cache-hit-rate"])
        self.assertEqual(found(cache_hits=5, cache_misses=1), ["cache-unknown"])
        self.assertEqual(found(pool_size=20, pool_in_use_max=10), [])
        self.assertEqual(found(pool_size=20, pool_in_use_max=18), ["pool-small"])
        self.assertEqual(found(pool_size=20, pool_in_use_max=20, pool_waits=7), ["pool-waits"])
        self.assertEqual(found(pool_size=40, pool_in_use_max=3), ["pool-large"])
        self.assertEqual(found(pool_size=30, instances=3, db_max_connections=100), ["connections"])

    def test_repeats(self) -> None:
        header = HEADER + ("x", "y")
        rows = [r + [i % 160, "a"] for i, r in enumerate(requests(200))]  # 40 of 200 were seen before
        ran = self.review(rows, header=header)
        self.assertEqual(ran.result["values"]["repeat_share"], 0.2)
        self.assertEqual(self.only(ran, "cacheable"), ["cacheable"])
        rows = [r + [i, "a"] for i, r in enumerate(requests(200))]
        self.assertEqual(self.only(self.review(rows, header=header), "cacheable"), [])
        self.assertNotIn("repeat_share", self.review(requests(200)).result["values"])

    def test_what_is_not_judged_is_said(self) -> None:
        ran = self.review(requests(200))
        self.assertEqual(self.only(ran, "queries", "counters"), ["queries-not-judged", "counters-not-judged"])
        ran = self.review(requests(20))
        self.assertEqual(ran.ids("warning"), ["too-few-requests.all"])
        ran = self.review(requests(200, response_ms="", latency_ms=""))
        self.assertEqual(ran.ids("warning"), ["no-times"])
        empty = self.table("q.csv", QUERIES, [])
        ran = self.review(requests(200), (), "--slow-queries", empty)
        self.assertEqual(ran.ids("warning"), ["no-queries"])

    def test_the_sample(self) -> None:
        ran = self.measured(OPTIMIZATION, "--predictions", os.path.join(DATA, "predictions.csv"), "--now", "newest",
                            "--slow-queries", os.path.join(DATA, "slow_queries.csv"),
                            "--counters", os.path.join(DATA, "counters.csv"))
        self.assertEqual(len(self.only(ran, "slow-query.select-predictions")), 1)
        self.assertEqual(len(self.only(ran, "repeated-query.select-features")), 1)
        self.assertEqual(ran.ids("critical"), [])

    def test_errors(self) -> None:
        log = self.table("p.csv", HEADER, requests(200))

        def errors(header: Sequence[str], row: Sequence[Any], says: str, hint: str = "", flag: str = "--slow-queries") -> None:
            path = self.table("q.csv", header, [row])
            self.broke(OPTIMIZATION, "--predictions", log, "--now", NOON, flag, path, says=says, hint=hint)

        errors(("sql", "calls"), ("x", 1), 'no column "query"', "--column query=sql")
        errors(("query", "calls"), ("x", 1), 'no column "total_ms"', "it has query, calls")
        errors(("query", "calls", "total_ms"), ("x", "many", 1), 'q.csv:2: calls is not a number: "many"')
        errors(("query", "calls", "total_ms"), ("x", 1.5, 1), "q.csv:2: calls is 1.5", "correct")
        errors(("query", "calls", "total_ms"), ("x", 1, "nan"), "q.csv:2: total_ms is not a finite number")
        errors(("query", "calls", "total_ms"), ("x", 1, -4), "q.csv:2: total_ms is -4", "correct")
        errors(("query", "calls", "total_ms"), ("x", 1, ""), "q.csv:2: total_ms is empty", "mean_ms")
        errors(("name", "value"), ("cache_hit", 1), 'no counter is called "cache_hit"', 'did you mean "cache_hits"?',
               "--counters")
        errors(("name", "value"), ("pool_size", -1), "q.csv:2: pool_size is -1", "correct", "--counters")
        path = self.table("p2.csv", ("timestamp", "status"), [(NOON, 200)])
        self.broke(OPTIMIZATION, "--predictions", path, says='no column "latency_ms"')


if __name__ == "__main__":
    unittest.main()

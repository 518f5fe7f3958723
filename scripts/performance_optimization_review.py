#!/usr/bin/env python3
"""Looks for what makes a model's API slow: endpoints, queries, N+1, cache and pools, each with a next step."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
from typing import List, Optional, Tuple

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import capacity, command, instants, options, queries, requests, sources  # noqa: E402
from upkeep_model.judgement import Judge, limit_options  # noqa: E402
from upkeep_model.requests import COLUMNS, Request, Requests  # noqa: E402
from upkeep_model.result import INFO, Result, WARNING  # noqa: E402
from upkeep_model.tally import Percentiles, Tally, percentiles  # noqa: E402
from upkeep_model.traffic import Traffic, busiest, read as read_traffic  # noqa: E402
from upkeep_model.wording import Slugs, percent, shown, span  # noqa: E402

DEFAULT = "data/predictions.csv"
DEFAULT_QUERIES = "data/slow_queries.csv"

EPILOG = """
The log needs timestamp and latency_ms or response_ms; with features it also tells how many requests repeat.
Queries (query, calls, total_ms or mean_ms, rows) come from pg_stat_statements or a slow query log; literals
are replaced by ? before anything is printed. Counters (name, value) are optional:
  cache_hits cache_misses cache_evictions pool_size pool_in_use_max pool_waits instances db_max_connections

  psql -c "COPY (SELECT query, calls, total_exec_time AS total_ms, mean_exec_time AS mean_ms, rows
    FROM pg_stat_statements) TO STDOUT WITH (FORMAT csv, HEADER)" > slow_queries.csv

values: requests, latency_p50_seconds (p95, p99), response_p50_seconds (p95, p99), and for the slowest endpoints
seconds_total.ENDPOINT, seconds_mean.ENDPOINT, seconds_p95.ENDPOINT; queries, query_calls, query_seconds,
slow_queries, repeated_queries, cache_hit_rate, repeat_share, concurrency_mean, concurrency_peak, pool_suggested,
pool_used_share, connections_share. outputs: slowest_by_mean, slowest_by_total.

examples:
  performance_optimization_review.py --predictions scripts/data/predictions.csv \\
      --slow-queries scripts/data/slow_queries.csv --counters scripts/data/counters.csv --now newest
  performance_optimization_review.py --predictions log.csv --slow-queries q.csv --slow-query 250ms --top 5
  performance_optimization_review.py --sqlite app.db --table predictions --slow-queries-table statements --json
"""


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    options.input_options(p, DEFAULT)
    options.side_table(p, "slow-queries", "statistics of queries")
    options.side_table(p, "counters", "counters of cache and pool")
    options.time_options(p, "30d", "31d")
    limit_options(p)
    add = p.add_argument_group("review").add_argument
    add("--top", type=options.whole, default=10, metavar="N", help="at most N findings of one sort (default: 10)")
    add("--slow-query", type=options.length, default="100ms", metavar="T", help="mean time of a slow query (default: 100ms)")
    add("--heavy-share", type=options.share, default="20%", metavar="SHARE",
        help="share of all query time that is worth a look (default: 20%%)")
    add("--wide-rows", type=options.positive, default=1000, metavar="N", help="rows per call that are many (default: 1000)")
    add("--repeated-calls", type=options.whole, default=1000, metavar="N",
        help="calls from which on a quick query may be an N+1 (default: 1000)")
    add("--min-hit-rate", type=options.share, default="80%", metavar="SHARE", help="of the cache (default: 80%%)")
    add("--repeat-share", type=options.share, default="5%", metavar="SHARE",
        help="repeated requests from which on a cache is advised (default: 5%%)")
    return p


def measure(args: argparse.Namespace) -> Result:
    log = Requests(sources.predictions(args, DEFAULT), args)
    if not log.has("latency_ms") and not log.has("response_ms"):
        log.table.need("latency_ms")
    statements = sources.side(args, "slow-queries", DEFAULT_QUERIES)
    counted = sources.side(args, "counters")
    counters = capacity.read(counted) if counted is not None else {}
    now = log.now(args.now)
    window = requests.windows(now, args.window, 0)[0]
    repeats, inputs = capacity.Repeats(), input_places(log)
    traffic = read_traffic(log, [window], lambda r: repeats.add(input_key(r, inputs)) if inputs else None)[0]
    result = Result()
    result.output("window_start", instants.written(window.start))
    result.output("window_end", instants.written(now))
    log.judge_age(result, now, args.max_age)
    review_traffic(result, args, traffic)
    repeats.judge(result, args)
    if statements is not None:
        queries.judge(result, args, queries.read(statements, args.max_rows))
    else:
        result.finding("queries-not-judged", INFO, "queries were not judged: name their statistics with --slow-queries FILE")
    capacity.judge_pool(result, counters, capacity.concurrency(traffic))
    capacity.judge_cache(result, args, counters)
    if not counters:
        result.finding("counters-not-judged", INFO, "cache and pool were not judged: name their counters with --counters FILE")
    result.summary = summary(result, traffic)
    return result


def input_places(log: Requests) -> List[int]:
    """The columns that are the model's input, if there are any."""
    own = {log.table.find(c) for c in COLUMNS}
    return [i for i, c in enumerate(log.table.columns) if i not in own and c]


def input_key(r: Request, places: List[int]) -> int:
    text = "\x1f".join([r.model, r.version, r.endpoint or ""] + [str(r.cells[i]) for i in places])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def review_traffic(result: Result, args: argparse.Namespace, traffic: Traffic) -> None:
    whole = traffic.whole
    result.value("requests", whole.requests)
    if not whole.requests:
        result.finding("no-requests", WARNING, f"no requests in the last {span(args.window)}: endpoints were not judged")
        return
    for what, values in (("latency", whole.latency), ("response", whole.response)):
        p = percentiles(values)
        if p:
            result.value(f"{what}_p50_seconds", p.p50 / 1000)
            result.value(f"{what}_p95_seconds", p.p95 / 1000)
            result.value(f"{what}_p99_seconds", p.p99 / 1000)
    if Judge(result, args, "all", "all requests").enough(whole):
        review_endpoints(result, args, traffic)


def times(t: Tally) -> Optional[Percentiles]:
    """Of the whole answer where it was measured, else of the model."""
    return percentiles(t.response or t.latency)


def review_endpoints(result: Result, args: argparse.Namespace, traffic: Traffic) -> None:
    measured: List[Tuple[str, Tally, Percentiles]] = []
    for name, tally in busiest(traffic.endpoints):
        p = times(tally)
        if p is not None:
            measured.append((name, tally, p))
    if not measured:
        result.finding("no-times", WARNING, "no request in the window has a time: endpoints were not judged")
        return
    total = math.fsum(p.mean * p.n for _, _, p in measured)
    by_total = sorted(measured, key=lambda m: (-m[2].mean * m[2].n, m[0]))
    by_mean = sorted((m for m in measured if m[2].n >= min(20, args.min_sample)), key=lambda m: (-m[2].mean, m[0]))
    result.output("slowest_by_total", by_total[0][0])
    if by_mean:
        result.output("slowest_by_mean", by_mean[0][0])
    slugs = Slugs()
    for name, _, p in by_total[: args.top]:
        slug = slugs.of(name)
        result.value(f"seconds_total.{slug}", p.mean * p.n / 1000)
        result.value(f"seconds_mean.{slug}", p.mean / 1000)
        result.value(f"seconds_p95.{slug}", p.p95 / 1000)
    name, _, p = by_total[0]
    if len(measured) > 1 and total:
        result.finding("most-time", INFO,
                       f"{shown(name)} takes {percent(p.mean * p.n / total)} of all time ({p.n} requests, mean "
                       f"{p.mean:.0f} ms). Next: what is saved here counts most")
    for name, tally, p in by_mean[: args.top]:
        judge_endpoint(result, args, name, tally, p, slugs.of(name))


def judge_endpoint(
    result: Result, args: argparse.Namespace, name: str, tally: Tally, p: Percentiles, slug: str
) -> None:
    limit = (args.max_response if tally.response else args.max_latency) * 1000
    if p.n < args.min_sample:
        return
    if p.p95 > limit:
        own = percentiles(tally.latency)
        inside = own.mean / p.mean if own and tally.response and p.mean else None
        where = "" if inside is None else f"; the model is {percent(inside, 0)} of it"
        step = "profile the model, batch requests, or make it smaller" if inside is None or inside > 0.5 else \
            "look at queries, serialization and calls to others"
        result.finding(f"slow-endpoint.{slug}", WARNING,
                       f"{shown(name)}: p95 {p.p95:.0f} ms is above {limit:.0f} ms{where}. Next: {step}")
    if p.p50 and p.p99 > 10 * p.p50:
        result.finding(f"long-tail.{slug}", INFO,
                       f"{shown(name)}: p99 {p.p99:.0f} ms is more than 10 times the median {p.p50:.0f} ms. Next: look for "
                       "cold starts, garbage collection and locks; warm the model up after a restart")


def summary(result: Result, traffic: Traffic) -> str:
    steps = sum(1 for f in result.findings if "Next:" in f["text"])
    parts = [f"{steps} thing{'s' if steps != 1 else ''} to improve"]
    p = times(traffic.whole)
    if p:
        parts.append(f"p95 {p.p95:.0f} ms over {traffic.whole.requests} requests")
    for name, words in (("slow_queries", "slow queries"), ("repeated_queries", "N+1 suspects")):
        if name in result.values:
            parts.append(f"{result.values[name]:.0f} {words}")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

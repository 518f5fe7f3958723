"""Cache and connection pools: what their counters and the requests say about their size."""

from __future__ import annotations

import argparse
import math
from typing import Dict, NamedTuple, Optional, Set

from .broke import Broke
from .result import INFO, Result, WARNING
from .tables import Table
from .traffic import Traffic
from .wording import listed, percent, suggestion

KNOWN = (
    "cache_hits", "cache_misses", "cache_evictions", "pool_size", "pool_in_use_max", "pool_waits",
    "instances", "db_max_connections",
)


class Concurrency(NamedTuple):
    """Requests in work at once: mean over the covered time, and in the busiest minute; suggested pool size."""

    mean: float
    peak: float
    suggested: int


def read(table: Table) -> Dict[str, float]:
    """The counters of a table with the columns name and value."""
    name, value = table.need("name"), table.need("value")
    found: Dict[str, float] = {}
    for line, cells in table.rows():
        key = table.text(cells[name])
        if key not in KNOWN:
            near = suggestion(key, KNOWN)
            raise Broke(f'{table.where(line)}: no counter is called "{key}"', f"{near} known are {listed(KNOWN, 9)}".strip())
        if table.blank(cells[value]):
            continue
        number = table.number(cells[value], key, line)
        if number < 0:
            raise Broke(f"{table.where(line)}: {key} is {number:g}, but must be 0 or more", "correct the cell")
        found[key] = number
    return found


def concurrency(traffic: Traffic) -> Optional[Concurrency]:
    """How many requests are in work at once; None when the log has no times.

    By Little's law (J. D. C. Little, Operations Research 9 (1961) 383-387) it is arrivals per second times
    mean seconds in the system. A pool for load L is suggested as L + 2 * sqrt(L), rounded up (square-root
    staffing: S. Halfin and W. Whitt, Operations Research 29 (1981) 567-588).
    """
    times = traffic.whole.response or traffic.whole.latency
    if not times:
        return None
    mean = math.fsum(times) / len(times) / 1000
    average = traffic.per_minute / 60 * mean
    peak = traffic.peak / 60 * mean
    return Concurrency(average, peak, max(1, math.ceil(peak + 2 * math.sqrt(peak))))


def judge_pool(result: Result, counters: Dict[str, float], load: Optional[Concurrency]) -> None:
    """Findings about the size of the connection pool, with a next step."""
    if load is not None:
        result.value("concurrency_mean", load.mean)
        result.value("concurrency_peak", load.peak)
        result.value("pool_suggested", load.suggested)
    size, used, waits = (counters.get(k) for k in ("pool_size", "pool_in_use_max", "pool_waits"))
    if waits:
        result.finding("pool-waits", WARNING,
                       f"{waits:.0f} requests waited for a connection" + (f" of a pool of {size:.0f}" if size else "")
                       + ". Next: make queries shorter first, then the pool larger")
    if size and used is not None:
        result.value("pool_used_share", min(1.0, used / size))
        if used >= 0.9 * size and not waits:
            result.finding("pool-small", WARNING,
                           f"at most {used:.0f} of {size:.0f} connections were in use: no room for a burst. "
                           "Next: raise the pool size, or return connections earlier")
        if size >= 10 and used <= 0.25 * size:
            at_least = max(load.suggested if load else 0, math.ceil(2 * used), 2)
            if at_least < size:
                result.finding("pool-large", INFO,
                               f"at most {used:.0f} of {size:.0f} connections were in use. "
                               f"Next: {at_least} would do, and frees memory in the database")
    most, instances = counters.get("db_max_connections"), counters.get("instances", 1.0)
    if size and most:
        share = size * instances / most
        result.value("connections_share", share)
        if share > 0.8:
            result.finding("connections", WARNING,
                           f"{instances:.0f} instances with pools of {size:.0f} may open {size * instances:.0f} of "
                           f"{most:.0f} connections. Next: smaller pools, or a pooler such as PgBouncer in between")


def judge_cache(result: Result, args: argparse.Namespace, counters: Dict[str, float]) -> None:
    """Findings about the hit rate of the cache."""
    hits, misses = counters.get("cache_hits"), counters.get("cache_misses")
    if hits is None or misses is None:
        return
    lookups = hits + misses
    if lookups < args.min_sample:
        result.finding("cache-unknown", WARNING, f"{lookups:.0f} cache lookups are too few to judge the hit rate")
        return
    rate = hits / lookups
    result.value("cache_hit_rate", rate)
    evictions = counters.get("cache_evictions", 0.0)
    if rate < args.min_hit_rate:
        cause = "it evicts a lot: give it more memory" if evictions > 0.1 * lookups else "check keys and time to live"
        result.finding("cache-hit-rate", WARNING,
                       f"cache hit rate {percent(rate)} is below {percent(args.min_hit_rate)} "
                       f"({lookups:.0f} lookups, {evictions:.0f} evictions). Next: {cause}")


class Repeats:
    """Counts requests whose endpoint, model, version and features were all seen before in the window.

    That share is the best hit rate that a cache of predictions could reach. Inputs are kept as 8-byte
    hashes, at most `most` of them; beyond that repeats of later inputs are not seen (a lower bound).
    """

    def __init__(self, most: int = 2_000_000) -> None:
        self._seen: Set[int] = set()
        self._most = most
        self.requests = 0
        self.repeated = 0

    def add(self, key: int) -> None:
        self.requests += 1
        if key in self._seen:
            self.repeated += 1
        elif len(self._seen) < self._most:
            self._seen.add(key)

    def judge(self, result: Result, args: argparse.Namespace) -> None:
        if self.requests < args.min_sample:
            return
        share = self.repeated / self.requests
        result.value("repeat_share", share)
        if share >= args.repeat_share:
            result.finding("cacheable", INFO,
                           f"{percent(share)} of requests repeat an earlier input of the same endpoint and version. Next: "
                           "cache predictions by input and model version, with a time to live")

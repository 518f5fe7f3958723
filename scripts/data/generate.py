#!/usr/bin/env python3
"""Writes the sample data of the model scripts: the same bytes on every machine, from a fixed seed.

The story: a churn model answers for two weeks. Version 5.2 replaced 5.1 on the fourth day. It predicts well
and fast; one request a week fails; labels arrive half a day late. From the ninth day on customers start more
sessions than in the training data: sessions_30d drifts mildly. The database has one slow query and one that is
called once per row of another (N+1).

  generate.py [--out FOLDER]     (default: the folder of this script)
"""

from __future__ import annotations

import argparse
import csv
import datetime
import math
import os
import random
import sys
from typing import Any, Dict, Iterable, List, Sequence

SEED = 5
START = datetime.datetime(2026, 1, 5)
DAYS = 14
REQUESTS = 2400
REFERENCE_ROWS = 1500
SWITCH_DAY = 3.5  # version 5.2 answers from here on
DRIFT_DAY = 8.0
LABEL_DELAY_DAYS = 0.5
FEATURES = ("tenure_months", "monthly_spend", "sessions_30d", "support_tickets", "plan", "region")


class Draw:
    """Random numbers from random() alone, whose sequence every version of Python keeps."""

    def __init__(self, seed: int) -> None:
        self.uniform = random.Random(seed).random

    def normal(self) -> float:
        return math.sqrt(-2 * math.log(1 - self.uniform())) * math.cos(2 * math.pi * self.uniform())

    def one_of(self, weights: Dict[str, float]) -> str:
        left = self.uniform() * sum(weights.values())
        for name, weight in weights.items():
            left -= weight
            if left < 0:
                return name
        return name

    def around(self, median: float, spread: float) -> float:
        """A log-normal number."""
        return median * math.exp(spread * self.normal())


def features(draw: Draw, more_sessions: float) -> Dict[str, Any]:
    return {
        "tenure_months": min(96, int(draw.around(18, 0.8))),
        "monthly_spend": round(draw.around(42, 0.5), 2),
        "sessions_30d": int(draw.around(14 * more_sessions, 0.6)),
        "support_tickets": min(6, int(-1.1 * math.log(1 - draw.uniform()))),
        "plan": draw.one_of({"free": 0.4, "pro": 0.35, "team": 0.18, "enterprise": 0.07}),
        "region": draw.one_of({"eu": 0.45, "us": 0.35, "apac": 0.17, "": 0.03}),
    }


def churn(draw: Draw, x: Dict[str, Any]) -> float:
    """The model's score: the probability that the customer leaves."""
    z = 0.6 - 0.85 * math.log1p(x["sessions_30d"]) + 1.3 * x["support_tickets"] - 0.4 * math.log1p(x["tenure_months"])
    z += {"free": 1.0, "pro": 0.2, "team": -0.5, "enterprise": -1.0}[x["plan"]]
    return 1 / (1 + math.exp(-(2.6 * (z + 0.6) + 1.2 * draw.normal())))


def stamp(day: float) -> str:
    at = START + datetime.timedelta(seconds=int(day * 86400))
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def moments(draw: Draw) -> List[float]:
    """Days since the start, in order, with more requests at noon than at midnight."""
    found: List[float] = []
    while len(found) < REQUESTS:
        day = draw.uniform() * DAYS
        if draw.uniform() < 0.65 - 0.35 * math.cos(2 * math.pi * day):
            found.append(day)
    return sorted(found)


def predictions(draw: Draw) -> Iterable[Sequence[Any]]:
    yield ("timestamp", "request_id", "model", "version", "endpoint", "predicted", "actual", "score",
           "latency_ms", "response_ms", "status") + FEATURES
    recent: List[Dict[str, Any]] = []
    failures = {700, 1900}
    for number, day in enumerate(moments(draw), 1):
        endpoint = draw.one_of({"/v1/predict": 0.8, "/v1/batch": 0.12, "/v1/explain": 0.08})
        if recent and draw.uniform() < 0.06:
            x = recent[int(draw.uniform() * len(recent))]
        else:
            x = features(draw, 1.33 if day >= DRIFT_DAY else 1.0)
        recent = (recent + [x])[-50:]
        score = churn(draw, x)
        left = draw.uniform() < score
        latency = draw.around({"/v1/predict": 32, "/v1/batch": 48, "/v1/explain": 60}[endpoint], 0.3)
        response = latency + draw.around(38, 0.4)
        status = 500 if number in failures else 422 if draw.uniform() < 0.002 else 200
        answered = status == 200
        yield (
            stamp(day), f"r{number:05d}", "churn", "5.1" if day < SWITCH_DAY else "5.2", endpoint,
            int(score >= 0.5) if answered else "",
            int(left) if answered and day < DAYS - LABEL_DELAY_DAYS else "",
            f"{score:.3f}" if answered else "",
            f"{latency:.1f}", f"{response:.1f}", status,
        ) + tuple(x[f] for f in FEATURES)


def reference(draw: Draw) -> Iterable[Sequence[Any]]:
    yield FEATURES + ("predicted", "score")
    for _ in range(REFERENCE_ROWS):
        x = features(draw, 1.0)
        score = churn(draw, x)
        yield tuple(x[f] for f in FEATURES) + (int(score >= 0.5), f"{score:.3f}")


def trained_models() -> Iterable[Sequence[Any]]:
    yield "model", "version", "trained_at", "accuracy", "n", "role"
    yield "churn", "5.1", "2025-12-08T03:10:00Z", 0.929, 1200, ""
    yield "churn", "5.2", "2026-01-07T03:10:00Z", 0.941, 1500, "incumbent"


def slow_queries() -> Iterable[Sequence[Any]]:
    yield "query", "calls", "total_ms", "mean_ms", "rows"
    for query, calls, mean, rows in (
        ("SELECT * FROM predictions WHERE model_name = $1 ORDER BY created_at DESC LIMIT 100", 1840, 412.5, 184000),
        ("SELECT * FROM features WHERE customer_id = $1", 96200, 0.84, 96200),
        ("INSERT INTO predictions (model_name, input, output, created_at) VALUES ($1, $2, $3, now())", 24100, 2.1, 24100),
        ("SELECT id, name, stage FROM models WHERE stage = 'Production'", 2400, 1.3, 7200),
        ("UPDATE customers SET last_scored_at = now() WHERE id = $1", 24100, 3.4, 24100),
        ("SELECT count(*) FROM predictions WHERE created_at > now() - interval '1 day'", 336, 96.2, 336),
        ("SELECT customer_id, sum(amount) FROM invoices GROUP BY customer_id", 14, 1820.0, 168000),
        ("SELECT 1", 60400, 0.02, 60400),
    ):
        yield query, calls, f"{calls * mean:.1f}", mean, rows


def counters() -> Iterable[Sequence[Any]]:
    yield "name", "value"
    yield from (
        ("cache_hits", 61840), ("cache_misses", 14210), ("cache_evictions", 320),
        ("pool_size", 20), ("pool_in_use_max", 7), ("pool_waits", 0),
        ("instances", 2), ("db_max_connections", 100),
    )


def health(draw: Draw) -> Iterable[Sequence[Any]]:
    yield "timestamp", "up"
    for half_hour in range(DAYS * 48 + 1):
        yield stamp(half_hour / 48), 0 if half_hour == 137 else 1


def write(folder: str, name: str, rows: Iterable[Sequence[Any]]) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.dirname(os.path.realpath(__file__)), metavar="FOLDER")
    folder = parser.parse_args().out
    os.makedirs(folder, exist_ok=True)
    write(folder, "predictions.csv", predictions(Draw(SEED)))
    write(folder, "reference.csv", reference(Draw(SEED + 1)))
    write(folder, "models.csv", trained_models())
    write(folder, "slow_queries.csv", slow_queries())
    write(folder, "counters.csv", counters())
    write(folder, "health.csv", health(Draw(SEED + 2)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

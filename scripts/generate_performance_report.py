#!/usr/bin/env python3
"""Writes a performance report over a window as Markdown and as one HTML page, compared with the window before."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, NamedTuple, Optional

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from upkeep_model import command, documents, files, instants, options, requests, sources, traffic, uptime  # noqa: E402
from upkeep_model.broke import Broke  # noqa: E402
from upkeep_model.judgement import Judge, limit_options  # noqa: E402
from upkeep_model.reporting import build  # noqa: E402
from upkeep_model.result import INFO, Result, WARNING  # noqa: E402
from upkeep_model.tally import percentiles  # noqa: E402
from upkeep_model.traffic import Traffic  # noqa: E402
from upkeep_model.wording import percent, span  # noqa: E402

DEFAULT = "data/predictions.csv"

EPILOG = """
The log needs timestamp; latency_ms, response_ms, status, endpoint, model, version, predicted and actual are
reported as far as they are there. --health names samples of the state (timestamp, up) for the uptime; time
between samples that lie further apart than usual is unknown and counts for neither side.

Both files are named NAME-<end of window>.md and .html, appear as a whole or not at all, and are listed as
artifacts with size and SHA-256. The page loads nothing from elsewhere.

values: requests, requests_per_minute, requests_per_minute_peak, error_rate, latency_p50_seconds (p95, p99),
response_p50_seconds (p95, p99), accuracy, uptime, uptime_known, endpoints, newest_age_seconds, and those of the
window before as before_*.

examples:
  generate_performance_report.py --predictions scripts/data/predictions.csv --health scripts/data/health.csv \\
      --now newest --out /tmp/reports
  generate_performance_report.py --predictions log.csv.gz --window 30d --out reports --title 'January'
  generate_performance_report.py --sqlite app.db --query 'SELECT * FROM requests' --json
"""


class Report(NamedTuple):
    """All that is written: this window and the one before, None where that has no requests."""

    title: str
    now: Traffic
    before: Optional[Traffic]
    up: Optional[uptime.Uptime]
    up_before: Optional[uptime.Uptime]


def parser() -> options.Parser:
    p = options.Parser(__doc__ or "", EPILOG)
    options.input_options(p, DEFAULT)
    options.side_table(p, "health", "samples of the state")
    options.time_options(p, "7d")
    limit_options(p)
    add = p.add_argument_group("more limits").add_argument
    add("--min-uptime", type=options.share, default="99.9%", metavar="SHARE", help="default: 99.9%%")
    add("--min-throughput", type=options.positive, metavar="N",
        help="requests per minute in the busiest minute (default: not judged, as few requests are no fault)")
    add = p.add_argument_group("report").add_argument
    add("--out", default="reports", metavar="FOLDER", help="where the files go; it is made if absent (default: reports)")
    add("--name", default="performance", type=file_name, metavar="NAME", help="first part of their names (default: performance)")
    add("--title", default="Performance report", metavar="TEXT", help="default: Performance report")
    return p


def file_name(text: str) -> str:
    if not text or len(text) > 100 or text[0] in ".-" or not all(c.isalnum() or c in "._-" for c in text):
        raise argparse.ArgumentTypeError("letters, digits, dot, dash and underscore only")
    return text


def measure(args: argparse.Namespace) -> Result:
    log = requests.Requests(sources.predictions(args, DEFAULT), args)
    now = log.now(args.now)
    windows = requests.windows(now, args.window, args.window)
    current, before = traffic.read(log, windows)
    health = sources.side(args, "health")
    samples = uptime.read(health) if health is not None else None
    report = Report(
        args.title, current, before if before.whole.requests else None,
        uptime.measure(samples, windows[0]) if samples else None,
        uptime.measure(samples, windows[1]) if samples else None,
    )
    result = Result()
    result.output("window_start", instants.written(windows[0].start))
    result.output("window_end", instants.written(now))
    log.judge_age(result, now, args.max_age)
    record(result, current, "")
    if report.before is not None:
        record(result, report.before, "before_")
    judge(result, args, report)
    write(result, args, report)
    result.summary = summary(report)
    return result


def record(result: Result, t: Traffic, prefix: str) -> None:
    result.value(prefix + "requests", t.whole.requests)
    result.value(prefix + "requests_per_minute", t.per_minute)
    result.value(prefix + "requests_per_minute_peak", t.peak)
    result.value(prefix + "error_rate", t.whole.error_rate)
    result.value(prefix + "accuracy", t.whole.accuracy)
    result.value(prefix + "labelled", t.whole.confusion.n)
    for what, values in (("latency", t.whole.latency), ("response", t.whole.response)):
        p = percentiles(values)
        if p:
            result.value(f"{prefix}{what}_p50_seconds", p.p50 / 1000)
            result.value(f"{prefix}{what}_p95_seconds", p.p95 / 1000)
            result.value(f"{prefix}{what}_p99_seconds", p.p99 / 1000)
    if not prefix:
        result.value("endpoints", len(t.endpoints))


def judge(result: Result, args: argparse.Namespace, report: Report) -> None:
    whole = report.now.whole
    verdict = Judge(result, args, "all", "all requests")
    if not whole.requests:
        result.finding("no-requests", WARNING, f"no requests in the last {span(args.window)}: the report is empty")
    elif verdict.enough(whole):
        verdict.latency(whole)
        verdict.errors(whole)
        if whole.confusion.n:
            verdict.accuracy(whole)
    if args.min_throughput and report.now.peak < args.min_throughput:
        result.finding("throughput", WARNING,
                       f"{report.now.peak} requests in the busiest minute, below {args.min_throughput:g}")
    if report.up is None:
        result.finding("uptime-not-measured", INFO, "uptime was not measured: name samples of the state with --health FILE")
        return
    known = report.up.known / report.now.window.seconds
    result.value("uptime_known", min(1.0, known))
    if not report.up.known:
        result.finding("uptime-unknown", WARNING, "no sample of the state lies in the window: uptime is unknown")
        return
    share = report.up.up / report.up.known
    result.value("uptime", share)
    if share < args.min_uptime:
        result.finding("uptime", WARNING,
                       f"uptime {percent(share, 3)} is below {percent(args.min_uptime, 3)} "
                       f"({span(report.up.known - report.up.up)} down)")
    if known < 0.95:
        result.finding("uptime-gaps", WARNING, f"the state is known for only {percent(known)} of the window")


def write(result: Result, args: argparse.Namespace, report: Report) -> None:
    document = build(report, args, result.findings)
    stamp = instants.written(report.now.window.end).replace("-", "").replace(":", "")
    paths: List[str] = []
    try:
        os.makedirs(args.out, exist_ok=True)
        for ending, text in (("md", documents.markdown(document)), ("html", documents.page(document))):
            path = os.path.join(args.out, f"{args.name}-{stamp}.{ending}")
            files.put(path, text.encode("utf-8"))
            paths.append(path)
    except OSError as why:
        raise Broke(
            f"write the report to {args.out}: {why.strerror or why}", "--out names a folder that this user can write to"
        ) from None
    for path in paths:
        result.artifact(path)


def summary(report: Report) -> str:
    parts = [f"{report.now.whole.requests} requests, {report.now.per_minute:.3g} per minute"]
    p = percentiles(report.now.whole.response) or percentiles(report.now.whole.latency)
    if p:
        parts.append(f"p95 {p.p95:.0f} ms")
    if report.now.whole.error_rate is not None:
        parts.append(f"errors {percent(report.now.whole.error_rate, 2)}")
    if report.up is not None and report.up.known:
        parts.append(f"uptime {percent(report.up.up / report.up.known, 2)}")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(command.main(parser(), measure))

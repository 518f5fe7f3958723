"""The contents of the performance report: which tables and charts, in which words."""

from __future__ import annotations

import argparse
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from . import instants
from .charts import Chart, Line
from .documents import Block, Cell, Document, Grid, Section
from .judgement import name
from .tally import Tally, by_group, percentiles
from .traffic import Traffic, busiest
from .uptime import Uptime
from .wording import percent, span

MOST_ROWS = 50
_MOODS = {"critical": "bad", "warning": "warn", "info": ""}


def build(report: Any, args: argparse.Namespace, findings: Sequence[Dict[str, str]]) -> Document:
    """The document of a report with title, now, before, up and up_before (generate_performance_report.Report)."""
    window = report.now.window
    lead = [
        f"{instants.written(window.start)} to {instants.written(window.end)} ({span(window.seconds)}), "
        "compared with the same length of time before.",
    ]
    sections = [
        Section("Findings", [_findings(findings)]),
        Section("Aims", [_aims(report, args)]),
        Section("Over time", _over_time(report.now)),
        Section("Endpoints", _groups(busiest(report.now.endpoints), report.before and report.before.endpoints)),
        Section("Models", _groups(
            [(name(*g), t) for g, t in by_group(report.now.models)],
            report.before and {name(*g): t for g, t in report.before.models.items()},
        )),
        Section("How to read this", [
            "Percentiles are interpolated linearly between the two nearest requests, and failed requests count too. "
            "An error is a status of 500 and above. Times are UTC. Throughput is the mean over the window, or "
            "over what the log covers of it; the peak is the busiest minute.",
        ]),
    ]
    return Document(report.title, lead, sections)


def _findings(findings: Sequence[Dict[str, str]]) -> Block:
    if not findings:
        return "None: everything that was measured lies within its limits."
    order = ("critical", "warning", "info")
    ordered = sorted(findings, key=lambda f: order.index(f["severity"]))
    return Grid(("severity", "what"), [(Cell(f["severity"], _MOODS[f["severity"]]), f["text"]) for f in ordered])


def _aims(report: Any, args: argparse.Namespace) -> Grid:
    now, before = report.now, report.before
    rows: List[Sequence[Union[str, Cell]]] = []

    def row(what: str, aim: str, value: Optional[float], past: Optional[float], kept: Optional[bool], form: str) -> None:
        verdict = Cell("not measured") if value is None else Cell("") if kept is None else (
            Cell("kept", "good") if kept else Cell("missed", "bad"))
        rows.append((what, aim, _form(value, form), _form(past, form), _change(value, past, form), verdict))

    def p95(t: Optional[Traffic], what: str) -> Optional[float]:
        p = percentiles(getattr(t.whole, what)) if t else None
        return p.p95 if p else None

    def up(u: Optional[Uptime]) -> Optional[float]:
        return u.up / u.known if u and u.known else None

    value = up(report.up)
    row("uptime", f"≥ {percent(args.min_uptime, 2)}", value, up(report.up_before),
        value is not None and value >= args.min_uptime, "share3")
    value = p95(now, "response")
    row("response time p95", f"≤ {args.max_response * 1000:g} ms", value, p95(before, "response"),
        value is not None and value <= args.max_response * 1000, "ms")
    value = p95(now, "latency")
    row("model latency p95", f"≤ {args.max_latency * 1000:g} ms", value, p95(before, "latency"),
        value is not None and value <= args.max_latency * 1000, "ms")
    value = now.whole.error_rate
    row("error rate", f"≤ {percent(args.max_error_rate, 2)}", value, before.whole.error_rate if before else None,
        value is not None and value <= args.max_error_rate, "share3")
    value = now.whole.accuracy
    row("accuracy", f"≥ {percent(args.min_accuracy)}", value, before.whole.accuracy if before else None,
        value is not None and value >= args.min_accuracy, "share")
    row("requests", "", now.whole.requests, before.whole.requests if before else None, None, "count")
    row("requests per minute", "", now.per_minute, before.per_minute if before else None, None, "number")
    row("busiest minute", f"≥ {args.min_throughput:g}" if args.min_throughput else "", now.peak,
        before.peak if before else None, now.peak >= args.min_throughput if args.min_throughput else None, "count")
    return Grid(("what", "aim", "now", "before", "change", "verdict"), rows, (2, 3, 4))


def _form(value: Optional[float], form: str) -> str:
    if value is None:
        return "–"
    if form == "share":
        return percent(value)
    if form == "share3":
        return percent(value, 3)
    if form == "ms":
        return f"{value:.1f} ms"
    return f"{value:,.0f}" if form == "count" else f"{value:.4g}"


def _change(value: Optional[float], past: Optional[float], form: str) -> str:
    if value is None or past is None:
        return "–"
    if form.startswith("share"):
        return f"{100 * (value - past):+.2f} points"
    return f"{100 * (value / past - 1):+.1f} %" if past else "–"


def _over_time(now: Traffic) -> List[Block]:
    timeline = now.timeline()
    labels = [instants.written(t)[5:10] if now.step >= 86400 else instants.written(t)[5:16].replace("T", " ")
              for t, _ in timeline]
    blocks: List[Block] = [Chart(
        f"requests and errors, each point {span(now.step)}", labels,
        [Line("requests", [float(t.requests) for _, t in timeline]), Line("errors", [float(t.failed) for _, t in timeline])],
        bars=True,
    )]
    for what, words in (("latency", "model latency"), ("response", "response time")):
        found = [percentiles(getattr(t, what)) for _, t in timeline]
        if any(found):
            blocks.append(Chart(
                f"{words} in milliseconds, each point {span(now.step)}", labels,
                [Line("p50", [p.p50 if p else None for p in found]), Line("p95", [p.p95 if p else None for p in found])],
            ))
    blocks.append(_days(now))
    return blocks


def _days(now: Traffic) -> Grid:
    days: Dict[int, Tally] = {}
    for start, tally in now.timeline():
        days.setdefault(int(start // 86400), Tally()).merge(tally)
    shown_days = sorted(days)[-62:]
    return Grid(
        ("day", "requests", "errors", "latency p50", "latency p95", "response p95"),
        [(instants.day(d * 86400), f"{days[d].requests:,}", f"{days[d].failed:,}", *_times(days[d])) for d in shown_days],
        (1, 2, 3, 4, 5),
    )


def _times(t: Tally) -> Tuple[str, str, str]:
    a, b = percentiles(t.latency), percentiles(t.response)
    return _form(a and a.p50, "ms"), _form(a and a.p95, "ms"), _form(b and b.p95, "ms")


def _groups(groups: Sequence[Tuple[str, Tally]], before: Optional[Dict[str, Tally]]) -> List[Block]:
    rows: List[Sequence[Union[str, Cell]]] = []
    for label, t in groups[:MOST_ROWS]:
        past = (before or {}).get(label)
        p, q = percentiles(t.latency), percentiles(past.latency) if past else None
        rows.append((
            label, f"{t.requests:,}", _form(t.error_rate, "share3"), *_times(t)[:2], _form(p and p.p99, "ms"),
            _change(p and p.p95, q and q.p95, "ms"), _times(t)[2], _form(t.accuracy, "share"),
        ))
    if not rows:
        return ["No requests."]
    blocks: List[Block] = [Grid(
        ("name", "requests", "errors", "latency p50", "latency p95", "latency p99", "p95 change", "response p95", "accuracy"),
        rows, tuple(range(1, 9)),
    )]
    if len(groups) > MOST_ROWS:
        blocks.append(f"{len(groups) - MOST_ROWS} more with fewer requests are not shown.")
    return blocks

"""generate_performance_report.py: numbers, files, and text that tries to break out of them."""

from __future__ import annotations

import hashlib
import html.parser
import os
import re
import unittest
import xml.etree.ElementTree
from typing import Any, List, Tuple

from support import DATA, HEADER, NOON, REPORT, Case, Ran, requests
from upkeep_model import charts, uptime
from upkeep_model.instants import Window, parse

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Checks that every element is closed in order, and collects elements, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: List[str] = []
        self.elements: List[str] = []
        self.attributes: List[Tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


class Report(Case):
    def report(self, rows: List[Any], *args: str) -> Ran:
        path = self.table("p.csv", HEADER, rows)
        return self.measured(REPORT, "--predictions", path, "--now", NOON, "--out", "out", *args)

    def read(self, ran: Ran, ending: str) -> str:
        artifact = next(a for a in ran.result["artifacts"] if a["name"].endswith(ending))
        with open(artifact["path"], "rb") as file:
            content = file.read()
        self.assertEqual(artifact["bytes"], len(content))
        self.assertEqual(artifact["sha256"], hashlib.sha256(content).hexdigest())
        self.assertTrue(os.path.isabs(artifact["path"]))
        return content.decode("utf-8")

    def test_numbers_by_hand(self) -> None:
        # Two hours of 60 minutes: 3 requests in the last minute, 1 in all others of the window, latency 10 to 70 ms.
        rows = requests(120, latency_ms=lambda i: 10 + i - 59 if i >= 60 else 5, status=lambda i: 500 if i == 70 else 200)
        rows += [list(rows[-1]), list(rows[-1])]
        ran = self.report(rows, "--window", "60m")
        v = ran.result["values"]
        self.assertEqual((v["requests"], v["requests_per_minute_peak"]), (62, 3))
        self.assertAlmostEqual(v["requests_per_minute"], 62 / 60, 8)
        self.assertAlmostEqual(v["error_rate"], 1 / 62, 8)
        # 11, 12 … 70, 70, 70: position 0.5*61 = 30.5 is 41.5; 0.95*61 = 57.95 is 68.95
        self.assertEqual((v["latency_p50_seconds"], v["latency_p95_seconds"]), (0.0415, 0.06895))
        self.assertEqual((v["before_requests"], v["before_latency_p95_seconds"]), (60, 0.005))
        # The log begins one minute after the window before does.
        self.assertAlmostEqual(v["before_requests_per_minute"], 60 / 59, 8)
        text = self.read(ran, ".md")
        self.assertIn("| model latency p95 | ≤ 100 ms | 68.9 ms | 5.0 ms | +1279.0 % | kept |", text)
        self.assertIn("| requests |  | 62 | 60 | +3.3 % |  |", text)
        self.assertIn("| /p | 62 | 1.613 % | 41.5 ms | 68.9 ms | 70.0 ms | +1279.0 % | 20.0 ms | 100.0 % |", text)

    def test_files(self) -> None:
        ran = self.report(requests(200), "--name", "weekly", "--title", "Week 11")
        self.assertEqual([a["name"] for a in ran.result["artifacts"]],
                         ["weekly-20260310T120000Z.md", "weekly-20260310T120000Z.html"])
        self.assertEqual(sorted(os.listdir(self.path("out"))), sorted(a["name"] for a in ran.result["artifacts"]))
        first = self.read(ran, ".html")
        # A second report of the same window has the same names and bytes, and leaves nothing beside them.
        self.assertEqual(self.read(self.report(requests(200), "--name", "weekly", "--title", "Week 11"), ".html"), first)
        self.assertEqual(len(os.listdir(self.path("out"))), 2)

    def test_the_page_is_whole_and_self_contained(self) -> None:
        ran = self.measured(REPORT, "--predictions", os.path.join(DATA, "predictions.csv"),
                            "--health", os.path.join(DATA, "health.csv"), "--now", "newest", "--out", "out")
        source = self.read(ran, ".html")
        page = Page(source)
        self.assertNotIn("script", page.elements)
        self.assertFalse({"link", "img", "iframe", "object", "form", "a"} & set(page.elements))
        self.assertFalse([k for k, _ in page.attributes if k in ("src", "href") or k.startswith("on")])
        self.assertNotRegex(source, r"https?://|url\(|@import")
        self.assertIn("default-src 'none'", dict(page.attributes)["content"])
        pictures = re.findall(r"<svg.*?</svg>", source, re.DOTALL)
        self.assertEqual(len(pictures), 3)
        for picture in pictures:
            xml.etree.ElementTree.fromstring(picture)
        self.assertNotIn("nan", source.lower().replace("finance", ""))

    def test_the_sample_is_healthy(self) -> None:
        ran = self.measured(REPORT, "--predictions", os.path.join(DATA, "predictions.csv"),
                            "--health", os.path.join(DATA, "health.csv"), "--now", "newest", "--out", "out")
        self.assertEqual(ran.ids(), [])
        self.assertIn("| uptime | ≥ 99.90 % | 100.000 % | 99.702 % |", self.read(ran, ".md"))

    def test_hostile_text(self) -> None:
        names = ["<script>alert(1)</script>", "a|b\nc", "\"'><img src=x onerror=alert(1)>", "`*_[x](http://y)", "=1+1", "&lt;"]
        rows = requests(300, endpoint=lambda i: names[i % 6], model=lambda i: names[i % 6])
        ran = self.report(rows, "--title", "<b>&\n# x")
        page = Page(self.read(ran, ".html"))
        self.assertFalse({"script", "img", "b"} & set(page.elements))
        for name in names:
            self.assertIn(" ".join(name.split()), page.text)
        text = self.read(ran, ".md")
        self.assertTrue(text.startswith("# \\<b\\>\\& \\# x\n"))
        self.assertIn("| a\\|b c |", text)
        self.assertIn("| \\`\\*\\_\\[x\\](http://y) |", text)
        self.assertIn("| \\&lt; |", text)
        self.assertNotIn("<script>", text)
        for line in text.splitlines():
            if line.startswith("|"):
                self.assertIn(len(re.findall(r"(?<!\\)\|", line)), (3, 7, 10), line)

    def test_verdicts(self) -> None:
        ran = self.report(requests(200, latency_ms=150, response_ms=250, status=500, actual=0))
        self.assertEqual(ran.ids("critical"), ["latency.all", "response.all", "errors.all", "accuracy.all"])
        text = self.read(ran, ".md")
        self.assertEqual(text.count("**missed**"), 4)
        self.assertIn("| **critical** | all requests: error rate 100.00 %", text)
        ran = self.report(requests(20))
        self.assertEqual(ran.ids("warning"), ["too-few-requests.all"])
        ran = self.report(requests(200), "--min-throughput", "10")
        self.assertEqual(ran.ids("warning"), ["throughput"])

    def test_empty_window(self) -> None:
        path = self.table("p.csv", HEADER, requests(200))
        ran = self.measured(REPORT, "--predictions", path, "--now", "2026-03-30T00:00:00Z", "--out", "out")
        self.assertEqual(ran.ids("warning"), ["stale-input", "no-requests"])
        Page(self.read(ran, ".html"))

    def test_uptime_by_hand(self) -> None:
        at = lambda *minutes: [(60.0 * m, up) for m, up in minutes]  # noqa: E731
        # Every 10 minutes, down from 20 to 30: of 60 known minutes (the last sample holds 20) 50 are up.
        samples = at((0, True), (10, True), (20, False), (30, True), (40, True))
        found = uptime.measure(samples, Window(0, 3600))
        self.assertEqual((found.up, found.known), (3000.0, 3600.0))
        # Nobody looked from 60 to 120: a sample holds at most 20 minutes.
        samples = at((0, True), (10, True), (20, True), (30, True), (40, False), (120, True))
        found = uptime.measure(samples, Window(0, 7200))
        self.assertEqual((found.up, found.known), (2400.0, 3600.0))
        # Only the part inside the window counts.
        self.assertEqual(uptime.measure(samples, Window(300, 900))[:2], (600.0, 600.0))
        self.assertEqual(uptime.measure(samples, Window(90000, 90060))[:2], (0.0, 0.0))

    def test_uptime_verdicts(self) -> None:
        noon = parse(NOON)
        self.assertEqual(noon % 3600, 0)
        stamps = [f"2026-03-10T{h:02d}:{m:02d}:00Z" for h in range(10, 13) for m in range(0, 60, 10)]
        health = self.table("h.csv", ("timestamp", "up"), [(s, "down" if i == 8 else "ok") for i, s in enumerate(stamps)])
        ran = self.report(requests(200), "--health", health, "--window", "2h")
        self.assertEqual(ran.ids("warning"), ["uptime"])
        self.assertAlmostEqual(ran.result["values"]["uptime"], 110 / 120, 8)
        ran = self.report(requests(200), "--health", health, "--window", "2h", "--min-uptime", "90%")
        self.assertEqual(ran.ids("warning"), [])
        ran = self.report(requests(200), "--health", health, "--window", "24h", "--min-uptime", "90%")
        self.assertEqual(ran.ids("warning"), ["uptime-gaps"])
        late = self.table("late.csv", ("timestamp", "up"), [("2026-03-11T00:00:00Z", 1)])
        ran = self.report(requests(200), "--health", late)
        self.assertEqual(ran.ids("warning"), ["uptime-unknown"])

    def test_errors(self) -> None:
        path = self.table("p.csv", HEADER, requests(200))
        base = ("--predictions", path, "--now", NOON)
        self.text("file", "")
        self.broke(REPORT, *base, "--out", "file/x", says="write the report to file/x", hint="--out names a folder")
        self.broke(REPORT, *base, "--name", "../x", says="argument --name", hint="--help", code=2)
        self.broke(REPORT, *base, "--health", self.table("h.csv", ("timestamp", "up"), []), says="h.csv: no rows")
        self.broke(REPORT, *base, "--health", self.table("h.csv", ("timestamp", "up"), [(NOON, "so so")]),
                   says='h.csv:2: up is "so so"', hint="1 or 0")
        self.broke(REPORT, *base, "--health", self.table("h.csv", ("timestamp", "state"), [(NOON, 1)]),
                   says='no column "up"', hint="it has timestamp, state")
        self.assertFalse(os.path.exists(self.path("reports")))

    def test_many_endpoints(self) -> None:
        ran = self.report(requests(700, endpoint=lambda i: f"/user/{i}"))
        self.assertEqual(ran.result["values"]["endpoints"], 501)
        self.assertIn("451 more with fewer requests are not shown", self.read(ran, ".md"))
        self.assertIn("| (others) | 200 |", self.read(ran, ".md"))


class Charts(unittest.TestCase):
    def test_gaps_and_nothing(self) -> None:
        for values in ([None, None], [1.0, None, 2.0], [0.0], [1e-9, 1e9]):
            picture = charts.svg(charts.Chart("t<", [str(i) for i in range(len(values))], [charts.Line("a&", values)]))
            xml.etree.ElementTree.fromstring(picture)
        self.assertIn("no data", charts.svg(charts.Chart("t", ["1"], [charts.Line("a", [None])])))


if __name__ == "__main__":
    unittest.main()

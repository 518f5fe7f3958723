"""What the tests share: the scripts as processes, and small inputs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import unittest
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence
from unittest import mock

SCRIPTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
DATA = os.path.join(SCRIPTS, "data")
sys.path.insert(0, SCRIPTS)
# Compiled modules are kept for the processes of the tests, but not beside the sources.
CACHE = tempfile.TemporaryDirectory()
os.environ["PYTHONPYCACHEPREFIX"] = CACHE.name
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("UPKEEP_RESULT", None)  # the tests may themselves run as a job

from upkeep_model import command  # noqa: E402

PERFORMANCE = "check_model_performance.py"
DRIFT = "check_model_drift.py"
RETRAINING = "evaluate_retraining_needs.py"
REPORT = "generate_performance_report.py"
OPTIMIZATION = "performance_optimization_review.py"
TRAINING = "train_model.py"
EVALUATION = "evaluate_model.py"
ALL = (PERFORMANCE, DRIFT, RETRAINING, REPORT, OPTIMIZATION, TRAINING, EVALUATION)

HEADER = ("timestamp", "model", "version", "endpoint", "predicted", "actual", "score", "latency_ms", "response_ms", "status")
NOON = "2026-03-10T12:00:00Z"


class Ran(NamedTuple):
    """How a script ended. result is what it wrote to UPKEEP_RESULT, None when it wrote nothing."""

    code: int
    out: str
    err: str
    result: Optional[Dict[str, Any]]

    def finding(self, id: str) -> Optional[Dict[str, str]]:
        assert self.result is not None, self.err
        return next((f for f in self.result["findings"] if f["id"] == id), None)

    def ids(self, *severities: str) -> List[str]:
        assert self.result is not None, self.err
        return [f["id"] for f in self.result["findings"] if not severities or f["severity"] in severities]


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    maxDiff = None

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = os.path.realpath(holder.name)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def text(self, name: str, content: str) -> str:
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            file.write(content)
        return self.path(name)

    def bytes(self, name: str, content: bytes) -> str:
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        return self.path(name)

    def call_script(self, script: str, *args: str) -> Ran:
        """The same as run_script within this process, which is quicker."""
        path = self.path("result.json")
        module = runpy.run_path(os.path.join(SCRIPTS, script), run_name="called")
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with mock.patch.dict(os.environ, UPKEEP_RESULT=path), contextlib.redirect_stdout(out), \
                    contextlib.redirect_stderr(err):
                code = command.main(module["parser"](), module["measure"], list(args))
        finally:
            os.chdir(before)
        return Ran(code, out.getvalue(), err.getvalue(), self._taken(path))

    def run_script(self, script: str, *args: str, env: Optional[Dict[str, str]] = None, **how: Any) -> Ran:
        """Runs a script in the folder of the test, with UPKEEP_RESULT set."""
        path = self.path("result.json")
        done = subprocess.run(
            [sys.executable, os.path.join(SCRIPTS, script), *args],
            cwd=self.folder, env={**os.environ, "UPKEEP_RESULT": path, **(env or {})}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", timeout=60, **how,
        )
        return Ran(done.returncode, done.stdout, done.stderr, self._taken(path))

    def _taken(self, path: str) -> Optional[Dict[str, Any]]:
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            result = json.load(file, parse_constant=self._no_constant)
        os.unlink(path)
        return result

    def measured(self, script: str, *args: str, **how: Any) -> Ran:
        """For a run that must have measured; its result is checked against the contract.

        As a process of its own when it says `how`, else within this one.
        """
        ran = self.run_script(script, *args, **how) if how else self.call_script(script, *args)
        self.assertEqual((ran.code, ran.err), (0, ""))
        self.check_contract(ran.result)
        return ran

    def broke(self, script: str, *args: str, says: str, hint: str = "", code: int = 1, **how: Any) -> Ran:
        """The same for a run that must have broken: exit code, error and hint on stderr, no result, no traceback."""
        ran = self.run_script(script, *args, **how)
        lines = ran.err.splitlines()
        self.assertEqual(ran.code, code, ran.err + ran.out)
        self.assertIsNone(ran.result)
        self.assertEqual(len(lines), 2 if hint else len(lines), ran.err)
        self.assertTrue(lines and lines[0].startswith("error: "), ran.err)
        self.assertIn(says, lines[0])
        if hint:
            self.assertTrue(lines[1].startswith("hint: "), ran.err)
            self.assertIn(hint, lines[1])
        return ran

    def check_contract(self, result: Any) -> None:
        self.assertEqual(list(result), ["schema", "summary", "values", "outputs", "findings", "artifacts"])
        self.assertEqual(result["schema"], 1)
        self.assertTrue(result["summary"])
        self.assertNotIn("\n", result["summary"])
        for name, value in result["values"].items():
            self.assertRegex(name, r"\A[a-z0-9][a-z0-9_.-]*\Z")
            self.assertIsInstance(value, (int, float))
        for name, text in result["outputs"].items():
            self.assertRegex(name, r"\A[a-z0-9][a-z0-9_.-]*\Z")
            self.assertLessEqual(len(text.encode("utf-8")), 4096)
        ids = [f["id"] for f in result["findings"]]
        self.assertEqual(len(set(ids)), len(ids), "an id appears twice")
        for finding in result["findings"]:
            self.assertEqual(sorted(finding), ["id", "severity", "text"])
            self.assertRegex(finding["id"], r"\A[a-z0-9][a-z0-9_.-]*\Z")
            self.assertIn(finding["severity"], ("info", "warning", "critical"))
            self.assertTrue(finding["text"].isprintable(), finding["text"])

    def _no_constant(self, text: str) -> float:
        raise AssertionError(f"the result holds {text}")


def requests(n: int, **columns: Any) -> List[List[Any]]:
    """`n` rows for HEADER, one a minute, the last one at NOON. A column is a value, or a function of the row number."""
    plain = dict(model="m", version="1", endpoint="/p", predicted="1", actual="1", score="0.9", latency_ms=10,
                 response_ms=20, status=200)
    plain.update(columns)
    rows = []
    for i in range(n):
        minutes = 12 * 60 - (n - 1 - i)
        days, minute = divmod(minutes, 1440)
        stamp = f"2026-03-{10 + days:02d}T{minute // 60:02d}:{minute % 60:02d}:00Z"
        row = {"timestamp": stamp, **plain}
        rows.append([row[c](i) if callable(row[c]) else row[c] for c in HEADER])
    return rows

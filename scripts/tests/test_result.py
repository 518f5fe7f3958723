"""Delivering the result: whole or not at all, whatever happens, and the command around it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import unittest

from support import ALL, DATA, EVALUATION, HEADER, PERFORMANCE, REPORT, SCRIPTS, TRAINING, Case, requests
from upkeep_model import files
from upkeep_model.result import Result
from upkeep_model.wording import Slugs, shown, suggestion

SAMPLE = ("--predictions", os.path.join(DATA, "predictions.csv"), "--now", "newest")


class Contract(unittest.TestCase):
    def test_what_is_refused(self) -> None:
        result = Result()
        for number in (float("nan"), float("inf"), -float("inf")):
            with self.assertRaises(ValueError):
                result.value("x", number)
        for name in ("", "A", "a b", "-a", "ä", "a/b", "a\n"):
            with self.assertRaises(ValueError, msg=name):
                result.value(name, 1)
            with self.assertRaises(ValueError, msg=name):
                result.finding(name, "info", "x")
            with self.assertRaises(ValueError, msg=name):
                result.output(name, "x")
        with self.assertRaises(ValueError):
            result.finding("x", "bad", "x")
        self.assertEqual((result.values, result.findings, result.outputs), ({}, [], {}))

    def test_what_is_written(self) -> None:
        result = Result()
        result.summary = "a\nb\0c"
        result.value("none", None)
        result.value("whole", 12345678901)
        result.value("third", 1 / 3)
        result.finding("calm", "info", "x" * 5000)
        result.finding("bad", "critical", "line\nbreak\x1b[31m")
        result.sort()
        document = json.loads(result.json())
        self.assertEqual(document["values"], {"third": 0.333333333, "whole": 12345678901})
        self.assertEqual(document["summary"], "a b c")
        self.assertEqual([f["id"] for f in document["findings"]], ["bad", "calm"])
        self.assertEqual(document["findings"][0]["text"], "line break [31m")
        self.assertEqual(len(document["findings"][1]["text"]), 600)
        self.assertEqual(result.worst(), "critical")

    def test_findings_are_bounded(self) -> None:
        result = Result()
        for i in range(400):
            result.finding(f"f{i}", "info" if i < 350 else "critical", "x")
        result.sort()
        self.assertEqual(len(result.findings), 300)
        self.assertEqual(sum(f["severity"] == "critical" for f in result.findings), 50)
        self.assertEqual(result.findings[-1]["severity"], "info")
        self.assertIn("101 more", result.findings[-1]["text"])

    def test_slugs(self) -> None:
        slugs = Slugs()
        self.assertEqual(slugs.of("Churn Model", "5.1"), "churn-model.5.1")
        self.assertEqual(slugs.of("A/B"), "a-b")
        self.assertEqual(slugs.of("a-b"), "a-b-2")
        self.assertEqual(slugs.of("A/B"), "a-b")
        self.assertEqual(slugs.of("Größe"), "groe")
        self.assertEqual(slugs.of("模型"), "x")
        self.assertEqual(slugs.of("../../etc/passwd"), "etc-passwd")
        self.assertLessEqual(len(slugs.of("y" * 5000)), 48)

    def test_wording(self) -> None:
        self.assertEqual(shown("a\t\u202eb\u2028" + "c" * 100, 10), "a b ccccc…")
        self.assertEqual(suggestion("Latency", ["latency_ms", "x"]), 'did you mean "latency_ms"?')
        self.assertEqual(suggestion("zzz", ["latency_ms"]), "")


class Whole(Case):
    def test_put_replaces_as_a_whole(self) -> None:
        path = self.text("x", "old")
        files.put(path, b"new")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"new")
        self.assertEqual(os.listdir(self.folder), ["x"])

    def crashing(self, patch: str, *args: str, **how: object) -> "subprocess.CompletedProcess[str]":
        """Runs the performance script after `patch` in the same process."""
        script = os.path.join(SCRIPTS, PERFORMANCE)
        code = textwrap.dedent(patch) + textwrap.dedent(f"""
            import runpy, sys
            sys.argv = [{script!r}] + {list(args)!r}
            runpy.run_path({script!r}, run_name="__main__")
        """)
        return subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=self.folder, capture_output=True, text=True, timeout=60,
            env={**os.environ, "UPKEEP_RESULT": self.path("result.json")}, **how,
        )

    def test_kill_in_the_middle_leaves_no_result(self) -> None:
        for call in ("fsync", "replace"):
            done = self.crashing(f"""
                import os
                os.{call} = lambda *_: os.kill(os.getpid(), 9)
            """, *SAMPLE)
            self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            self.assertFalse(os.path.exists(self.path("result.json")))

    def test_kill_keeps_an_earlier_result(self) -> None:
        self.text("result.json", "earlier")
        done = self.crashing("import os\nos.replace = lambda *_: os.kill(os.getpid(), 9)", *SAMPLE)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        with open(self.path("result.json"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "earlier")

    def test_term_cleans_up(self) -> None:
        done = self.crashing("""
            import os, signal, time
            def stop(*_):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            os.replace = stop
        """, *SAMPLE)
        self.assertEqual(done.returncode, 143, done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_full_disk_is_an_error_and_leaves_nothing(self) -> None:
        # A limit on file size stands in for a full disk: the write fails for real, half way.
        done = self.crashing(
            "import os", *SAMPLE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("error: write the result to", done.stderr)
        self.assertIn("hint: ", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_an_unexpected_fault_shows_its_traceback_and_no_result(self) -> None:
        done = self.crashing("""
            import sys
            sys.path.insert(0, %r)
            from upkeep_model import tally
            tally.percentiles = None
        """ % SCRIPTS, *SAMPLE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Traceback", done.stderr)
        self.assertIn("error: unexpected TypeError", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_result_that_cannot_be_written_is_an_error(self) -> None:
        for path in ("/nonexistent/folder/result.json", self.folder):
            ran = self.run_script(PERFORMANCE, *SAMPLE, env={"UPKEEP_RESULT": path})
            self.assertEqual(ran.code, 1, ran.err)
            self.assertIn(f"error: write the result to {path}", ran.err)
            self.assertIn("hint: UPKEEP_RESULT", ran.err)
        self.assertEqual(os.listdir(self.folder), [])

    def test_the_mode_of_a_result_is_private(self) -> None:
        self.crashing("", *SAMPLE)
        self.assertEqual(os.stat(self.path("result.json")).st_mode & 0o777, 0o600)


class Command(Case):
    def test_help_of_every_script(self) -> None:
        for script in ALL:
            ran = self.run_script(script, "--help")
            self.assertEqual((ran.code, ran.err), (0, ""), script)
            for word in ("examples:", "exit codes:", "--json", "values:", script):
                self.assertIn(word, ran.out, script)
            self.assertEqual("--now" in ran.out, script not in (TRAINING, EVALUATION), script)
            with open(os.path.join(SCRIPTS, script), encoding="utf-8") as file:
                self.assertEqual(file.readline(), "#!/usr/bin/env python3\n")
            self.assertTrue(os.access(os.path.join(SCRIPTS, script), os.X_OK), script)

    def test_without_a_result_file_the_report_is_on_stdout(self) -> None:
        ran = self.run_script(PERFORMANCE, *SAMPLE, env={"UPKEEP_RESULT": ""})
        self.assertEqual(ran.code, 0)
        self.assertIn("\nvalues\n", ran.out)
        self.assertIn("accuracy_low", ran.out)
        ran = self.run_script(PERFORMANCE, *SAMPLE, "--json", env={"UPKEEP_RESULT": ""})
        self.check_contract(json.loads(ran.out))

    def test_with_a_result_file_stdout_is_short(self) -> None:
        ran = self.measured(PERFORMANCE, *SAMPLE)
        self.assertLess(len(ran.out.splitlines()), 12)
        self.assertTrue(ran.out.startswith(ran.result["summary"]))

    def test_scripts_run_from_anywhere_through_a_link(self) -> None:
        os.symlink(os.path.join(SCRIPTS, PERFORMANCE), self.path("link.py"))
        done = subprocess.run([self.path("link.py"), *SAMPLE], cwd="/", capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run([sys.executable, "-B", "-I", os.path.join(SCRIPTS, PERFORMANCE), *SAMPLE], cwd="/",
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_poor_locale_is_no_fault(self) -> None:
        path = self.table("p.csv", HEADER, requests(120, model="größe-模型"))
        ran = self.run_script(PERFORMANCE, "--predictions", path, "--now", "newest", "--min-sample", "500",
                              env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
        self.assertEqual((ran.code, ran.err), (0, ""))
        self.assertIn("größe-模型", ran.finding("too-few-requests.groe.1")["text"])

    def test_a_reader_that_has_gone(self) -> None:
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([sys.executable, os.path.join(SCRIPTS, REPORT), *SAMPLE, "--out", self.folder],
                              stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
                              env={**os.environ, "UPKEEP_RESULT": self.path("result.json")})
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertFalse(os.path.exists(self.path("result.json")))

    def test_results_are_the_same_every_time(self) -> None:
        first = self.measured(PERFORMANCE, *SAMPLE, env={"PYTHONHASHSEED": "1"})
        self.assertEqual(self.measured(PERFORMANCE, *SAMPLE, env={"PYTHONHASHSEED": "2"}).result, first.result)


if __name__ == "__main__":
    unittest.main()

"""prepare.py puts a database and logs in place, and may run again."""

from __future__ import annotations

import datetime
import importlib.util
import os
import sqlite3
import subprocess
import sys
import unittest
from typing import Any

from support import DATA, Case

SCRIPT = os.path.join(DATA, "prepare.py")


def module() -> Any:
    spec = importlib.util.spec_from_file_location("prepare", SCRIPT)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Prepare(Case):
    def prepare(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, SCRIPT, "--out", self.folder], capture_output=True, text=True, timeout=60)

    def rows(self, table: str) -> int:
        database = sqlite3.connect(self.path("app.db"))
        try:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        finally:
            database.close()

    def test_second_run_adds_a_visit_and_nothing_else(self) -> None:
        for visits in (1, 2):
            done = self.prepare()
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual((self.rows("predictions"), self.rows("models"), self.rows("visits")), (2400, 2, visits))
            self.assertEqual(len(os.listdir(self.path("logs"))), 10)

    def test_logs_are_as_old_as_their_names(self) -> None:
        prepare = module()
        os.makedirs(self.path("logs"))
        today = datetime.date(2026, 3, 10)
        self.assertEqual(prepare.add_logs(self.path("logs"), today), 10)
        oldest = min(os.listdir(self.path("logs")))
        self.assertEqual(oldest, "app-2026-03-01.log")
        written = datetime.datetime.fromtimestamp(os.path.getmtime(os.path.join(self.path("logs"), oldest)))
        self.assertEqual(written, datetime.datetime(2026, 3, 1, 23, 59))
        os.remove(os.path.join(self.path("logs"), oldest))
        self.assertEqual(prepare.add_logs(self.path("logs"), today), 0)
        self.assertEqual(prepare.add_logs(self.path("logs"), today + datetime.timedelta(days=2)), 2)
        self.assertEqual(prepare.add_logs(self.path("logs"), today + datetime.timedelta(days=100)), 10)

    def test_versions_stay_texts(self) -> None:
        self.prepare()
        database = sqlite3.connect(self.path("app.db"))
        self.addCleanup(database.close)
        self.assertEqual(database.execute("SELECT version, accuracy FROM models ORDER BY version").fetchall(), [("5.1", 0.929), ("5.2", 0.941)])

    def test_broken_database_is_named(self) -> None:
        self.text("app.db", "not a database")
        done = self.prepare()
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.path("app.db"), done.stderr)
        self.assertIn("hint: ", done.stderr)

    def test_folder_that_cannot_be_made(self) -> None:
        self.text("logs", "a file in the way")
        done = self.prepare()
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: write ", done.stderr)


if __name__ == "__main__":
    unittest.main()

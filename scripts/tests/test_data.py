"""The sample data: as generated, small, and good for every script."""

from __future__ import annotations

import ast
import csv
import os
import subprocess
import sys
import unittest

from support import ALL, DATA, SCRIPTS, Case


class Data(Case):
    def test_the_generator_makes_the_shipped_bytes(self) -> None:
        subprocess.run([sys.executable, os.path.join(DATA, "generate.py"), "--out", self.folder], check=True, timeout=60)
        names = sorted(n for n in os.listdir(DATA) if n.endswith(".csv"))
        self.assertEqual(sorted(os.listdir(self.folder)), names)
        for name in names:
            with open(os.path.join(DATA, name), "rb") as shipped, open(self.path(name), "rb") as made:
                self.assertTrue(shipped.read() == made.read(), f"{name} differs from what generate.py makes")

    def test_it_is_small(self) -> None:
        self.assertLess(sum(os.path.getsize(os.path.join(DATA, n)) for n in os.listdir(DATA) if n.endswith(".csv")), 400_000)

    def test_the_story(self) -> None:
        with open(os.path.join(DATA, "predictions.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2400)
        self.assertEqual(sum(r["status"] == "500" for r in rows), 2)
        self.assertEqual({r["version"] for r in rows}, {"5.1", "5.2"})
        self.assertEqual(rows, sorted(rows, key=lambda r: r["timestamp"]))


class Language(unittest.TestCase):
    def test_everything_parses_as_python_3_9(self) -> None:
        paths = [os.path.join(SCRIPTS, s) for s in ALL]
        for folder in ("upkeep_model", "data", "tests"):
            paths += [os.path.join(SCRIPTS, folder, n) for n in os.listdir(os.path.join(SCRIPTS, folder)) if n.endswith(".py")]
        self.assertGreater(len(paths), 30)
        for path in paths:
            with open(path, encoding="utf-8") as file:
                ast.parse(file.read(), path, feature_version=(3, 9))

    def test_only_the_standard_library_is_imported(self) -> None:
        if not hasattr(sys, "stdlib_module_names"):  # new in Python 3.10; newer versions check for older ones
            return
        folder = os.path.join(SCRIPTS, "upkeep_model")
        for path in [os.path.join(SCRIPTS, s) for s in ALL] + [os.path.join(folder, n) for n in os.listdir(folder)]:
            if not path.endswith(".py"):
                continue
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                    [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
                for name in names:
                    top = name.split(".")[0]
                    self.assertTrue(top == "upkeep_model" or top in sys.stdlib_module_names, f"{path} imports {name}")


if __name__ == "__main__":
    unittest.main()

"""The examples of README.md run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest
from typing import List

from support import SCRIPTS, Case


class Readme(Case):
    def blocks(self, language: str) -> List[str]:
        with open(os.path.join(SCRIPTS, "README.md"), encoding="utf-8") as file:
            return re.findall(rf"^```{language}\n(.*?)^```", file.read(), re.DOTALL | re.MULTILINE)

    def test_minimal_scripts(self) -> None:
        log = self.text("log.csv", "a\nb\n")
        for language, command in (("sh", ["sh"]), ("python", [sys.executable])):
            script = self.text(f"example.{language}", self.blocks(language)[0])
            path = self.path(f"{language}.json")
            done = subprocess.run([*command, script], env={**os.environ, "UPKEEP_RESULT": path, "LOG": log},
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
            self.assertEqual(result["schema"], 1)
            self.assertEqual(len(result["values"]), 1)
            self.assertFalse(os.path.exists(path + ".tmp"))

    def test_result_example_has_the_keys_of_a_result(self) -> None:
        example = json.loads(self.blocks("json")[0])
        self.check_contract(example)
        self.assertEqual(sorted(example["artifacts"][0]), ["bytes", "name", "path", "sha256"])

    def test_model_scripts(self) -> None:
        done = subprocess.run(["sh", "-eu", "-c", self.blocks("sh")[1]], cwd=os.path.dirname(SCRIPTS), capture_output=True,
                              text=True, timeout=60, env={**os.environ, "OUT": self.folder})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(os.listdir(self.folder)), 2)


if __name__ == "__main__":
    unittest.main()

"""The result of a script: what it measured and found, as upkeep reads it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from typing import Any, Dict, List, Optional

from . import files
from .broke import Broke
from .wording import shown

SCHEMA = 1
INFO, WARNING, CRITICAL = "info", "warning", "critical"
SEVERITIES = (INFO, WARNING, CRITICAL)
TEXT_LIMIT = 600
OUTPUT_LIMIT = 4096
FINDING_LIMIT = 300  # upkeep takes 1,000, and 1 MiB in all
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class Result:
    """summary, values, outputs, findings and artifacts; contract: scripts/README.md.

    Names match [a-z0-9][a-z0-9_.-]*. Values are finite: a number that cannot be computed is left out.
    """

    def __init__(self) -> None:
        self.summary = ""
        self.values: Dict[str, float] = {}
        self.outputs: Dict[str, str] = {}
        self.findings: List[Dict[str, str]] = []
        self.artifacts: List[Dict[str, Any]] = []

    def value(self, name: str, number: Optional[float]) -> None:
        """Records a measurement; None means that there is none and records nothing."""
        if number is None:
            return
        if not math.isfinite(number):
            raise ValueError(f"value {name} is not finite")
        # Nine significant digits: more is noise, and integers stay exact.
        self.values[_checked(name)] = number if isinstance(number, int) else float(f"{number:.9g}")

    def output(self, name: str, text: str) -> None:
        """Records a short fact that later jobs may read."""
        self.outputs[_checked(name)] = shown(text, OUTPUT_LIMIT // 4)

    def finding(self, id: str, severity: str, text: str) -> None:
        """Records what a person should know; `id` is the same every day for the same trouble."""
        if severity not in SEVERITIES:
            raise ValueError(f"no severity is called {severity}")
        self.findings.append({"id": _checked(id), "severity": severity, "text": shown(text, TEXT_LIMIT)})

    def artifact(self, path: str) -> None:
        """Lists a file that this script has made, by its absolute path, with size and hash of what is on disk."""
        digest, size = hashlib.sha256(), 0
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
                size += len(block)
        self.artifacts.append(
            {
                "name": os.path.basename(path),
                "path": os.path.abspath(path),
                "bytes": size,
                "sha256": digest.hexdigest(),
            }
        )

    def worst(self) -> str:
        """The highest severity among the findings, or the empty string."""
        return max((f["severity"] for f in self.findings), key=SEVERITIES.index, default="")

    def sort(self) -> None:
        """Puts the worst findings first; among equals the order of discovery stays. Keeps the first 300."""
        self.findings.sort(key=lambda f: -SEVERITIES.index(f["severity"]))
        more = len(self.findings) - FINDING_LIMIT
        if more > 0:
            worst_left_out = self.findings[FINDING_LIMIT - 1]["severity"]
            del self.findings[FINDING_LIMIT - 1:]
            self.finding("more-findings", worst_left_out, f"{more + 1} more findings are left out; narrow the input")

    def document(self) -> Dict[str, Any]:
        return {
            "schema": SCHEMA,
            "summary": shown(self.summary, TEXT_LIMIT),
            "values": dict(sorted(self.values.items())),
            "outputs": dict(sorted(self.outputs.items())),
            "findings": self.findings,
            "artifacts": self.artifacts,
        }

    def json(self) -> str:
        return json.dumps(self.document(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    def write(self, path: str) -> None:
        """Puts the JSON form at `path` as a whole or not at all."""
        try:
            files.put(path, self.json().encode("utf-8"), mode=0o600)
        except OSError as why:
            raise Broke(
                f"write the result to {path}: {why.strerror or why}",
                "UPKEEP_RESULT names a file in a folder that this user can write to",
            ) from None

    def readable(self, full: bool) -> str:
        """The result for people: summary and findings, and with `full` also every value, output and artifact."""
        lines = [shown(self.summary, TEXT_LIMIT)]
        some = self.findings if full else self.findings[:10]
        lines += [f"  {f['severity']:<8}  {f['text']}" for f in some]
        if len(some) < len(self.findings):
            lines.append(f"  … and {len(self.findings) - len(some)} more findings")
        if full:
            width = max((len(n) for n in list(self.values) + list(self.outputs)), default=0)
            lines += ["", "values"] if self.values else []
            lines += [f"  {n:<{width}}  {v:g}" if v != int(v) else f"  {n:<{width}}  {int(v)}"
                      for n, v in sorted(self.values.items())]
            lines += ["", "outputs"] if self.outputs else []
            lines += [f"  {n:<{width}}  {t}" for n, t in sorted(self.outputs.items())]
        lines += [f"  wrote     {a['path']} ({a['bytes']} bytes)" for a in self.artifacts]
        return "\n".join(lines)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name for a result")
    return name

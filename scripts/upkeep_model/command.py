"""From a script's arguments to its exit code: the part that every script has in common."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from typing import Callable, List, Optional

from .broke import Broke
from .options import Parser
from .result import Result

Measure = Callable[[argparse.Namespace], Result]


def main(parser: Parser, measure: Measure, argv: Optional[List[str]] = None) -> int:
    """Parses, measures and delivers the result; returns the exit code.

    With UPKEEP_RESULT the result goes to that file and stdout has a short form of it. Without it stdout has
    the whole result, as text or with --json as JSON. A script that breaks writes no result.
    """
    # TERM ends the script like an exception, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        args = parser.parse_args(argv)
        result = measure(args)
        result.sort()
        _deliver(result, args.json)
        return 0
    except Broke as broke:
        return _complain(broke.what, broke.hint, broke.code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone; without this Python complains again while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _complain("out of memory", "narrow the input with --window, --query or --max-rows", 1)
    except Exception as why:
        traceback.print_exc()
        return _complain(f"unexpected {type(why).__name__}: {why}", "this is a fault of the script; please report it", 1)


def _deliver(result: Result, as_json: bool) -> None:
    path = os.environ.get("UPKEEP_RESULT", "")
    if as_json:
        text = result.json()
    else:
        text = result.readable(full=not path) + "\n"
    sys.stdout.write(text)
    sys.stdout.flush()
    # The result comes last: where it stands, everything else has been done.
    if path:
        result.write(path)


def _complain(what: str, hint: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {what}\n")
    if hint:
        sys.stderr.write(f"hint: {hint}\n")
    return code

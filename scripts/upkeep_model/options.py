"""The options that the scripts share, and the values they take."""

from __future__ import annotations

import argparse
import re
from typing import Dict, FrozenSet, List, NamedTuple, NoReturn, Optional

from . import instants
from .broke import Broke
from .wording import shown, suggestion

MAX_ROWS = 5_000_000
EXIT_CODES = """exit codes:
  0    measured, whatever the findings say
  1    could not measure; stderr has error: and hint:
  2    wrong usage
  130  interrupted, 143 terminated
"""


class Limits(NamedTuple):
    """Beyond `warn` is a warning, beyond `crit` critical."""

    warn: float
    crit: float


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors read like all others, with a hint. No abbreviations."""

    def __init__(self, description: str, epilog: str) -> None:
        super().__init__(
            description=description,
            epilog=epilog + "\n" + EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        known = [o for a in self._actions for o in a.option_strings if o.startswith("--")]
        hint = f"see {self.prog} --help"
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            hint = f"{suggestion(unknown.group(1), known)} {hint}".strip()
        raise Broke(message, hint, code=2)


def input_options(parser: Parser, default: str) -> None:
    """The main table, and what holds for every table that is read."""
    group = parser.add_argument_group("input")
    group.add_argument("--predictions", metavar="FILE", help=f"prediction log as CSV, plain or gzip (default: {default})")
    group.add_argument("--sqlite", metavar="FILE", help="read from this SQLite database instead, read-only")
    group.add_argument("--table", metavar="NAME", help="table or view of --sqlite that holds the prediction log")
    group.add_argument("--query", metavar="SQL", help="one SELECT on --sqlite that yields the prediction log")
    group.add_argument("--delimiter", default=",", type=delimiter, metavar="C", help="separator of CSV cells, or `tab`")
    group.add_argument(
        "--column", action="append", default=[], type=mapping, metavar="OURS=THEIRS",
        help="name of one of our columns in the input, e.g. timestamp=created_at; repeatable",
    )
    group.add_argument(
        "--missing", action="append", default=[], metavar="TEXT",
        help="a text that means a missing value, beside the empty cell; repeatable",
    )
    group.add_argument(
        "--max-rows", type=whole, default=MAX_ROWS, metavar="N",
        help="the most rows to work on (default: %(default)s); more is an error, never a silent cut",
    )
    group.add_argument("--model", metavar="NAME", help="only this model")
    group.add_argument("--model-version", metavar="V", help="only this version")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def side_table(parser: Parser, name: str, what: str) -> None:
    """A second table: --NAME FILE, or --NAME-table / --NAME-query on --sqlite."""
    group = parser.add_argument_group(what)
    group.add_argument(f"--{name}", metavar="FILE", help=f"{what} as CSV, plain or gzip")
    group.add_argument(f"--{name}-table", metavar="NAME", help="the same as a table or view of --sqlite")
    group.add_argument(f"--{name}-query", metavar="SQL", help="the same as one SELECT on --sqlite")


def time_options(parser: Parser, window: str, max_age: str = "24h") -> None:
    group = parser.add_argument_group("time")
    group.add_argument("--window", type=length, default=window, metavar="T", help="judge the last T (default: %(default)s)")
    group.add_argument(
        "--now", default="", metavar="TIME",
        help="take this instant as now: a timestamp, or `newest` for the newest row (default: the clock)",
    )
    group.add_argument(
        "--max-age", type=length, default=max_age, metavar="T",
        help="a newest row older than T is a finding (default: %(default)s)",
    )


def columns(args: argparse.Namespace) -> Dict[str, str]:
    """What the --column options say: our name -> theirs."""
    return dict(args.column)


def missing(args: argparse.Namespace) -> FrozenSet[str]:
    return frozenset(args.missing)


def share(text: str) -> float:
    """A share between 0 and 1, also written as a percentage: 0.9 or 90%."""
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not a share: write 0.9 or 90%')
    return number


def length(text: str) -> float:
    """A length of time in seconds."""
    try:
        seconds = instants.length(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not a length of time: write 24h, 7d or 250ms')
    return seconds


def length_or_none(text: str) -> float:
    """The same, and 0 for none."""
    return 0.0 if text == "0" else length(text)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e300:
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not a number above 0')
    return number


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"\d{1,12}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not a whole number above 0')
    return int(text)


def limits(text: str) -> Limits:
    """Two limits WARN:CRIT, or one for both."""
    first, _, second = text.partition(":")
    try:
        found = Limits(float(first), float(second or first))
    except ValueError:
        found = Limits(-1, -1)
    if not 0 <= found.warn <= found.crit < 1e300:
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not WARN:CRIT with WARN <= CRIT, such as 0.1:0.25')
    return found


def names(text: str) -> List[str]:
    """Names separated by commas."""
    found = [n.strip() for n in text.split(",") if n.strip()]
    if not found:
        raise argparse.ArgumentTypeError("no names")
    return found


def delimiter(text: str) -> str:
    if text in ("tab", "\\t"):
        return "\t"
    if len(text) != 1 or text in '"\r\n\0 ':
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not one character or `tab`')
    return text


def mapping(text: str) -> "tuple[str, str]":
    ours, sign, theirs = text.partition("=")
    if not ours.strip() or not sign or not theirs.strip():
        raise argparse.ArgumentTypeError(f'"{shown(text)}" is not OURS=THEIRS, such as timestamp=created_at')
    return ours.strip(), theirs.strip()


def attribute(args: argparse.Namespace, flag: str) -> Optional[str]:
    """The value of an optional text flag by its name without dashes in front."""
    return getattr(args, flag.replace("-", "_"), None)

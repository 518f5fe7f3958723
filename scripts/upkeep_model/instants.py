"""Points in time and lengths of time as the scripts read them: seconds since 1970-01-01 UTC."""

from __future__ import annotations

import datetime
import functools
import re
import time
from typing import NamedTuple

from .broke import Broke
from .wording import shown

_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_EPOCH = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}", re.ASCII)
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()


class Window(NamedTuple):
    """The instants after `start`, up to and including `end`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def before(self, seconds: float) -> "Window":
        """The window of `seconds` that ends where this one starts."""
        return Window(self.start - seconds, self.start)


def parse(text: str) -> float:
    """The instant that `text` names; ValueError when it names none.

    Read are ISO 8601 (`2026-01-05T08:30:00Z`, `2026-01-05 08:30:00+01:00`, `2026-01-05`)
    and Unix time in seconds (9 or 10 digits) or milliseconds (12 or 13 digits).
    A stamp without a zone is UTC.
    """
    found = _STAMP.fullmatch(text)
    if not found:
        if _EPOCH.fullmatch(text):
            number = float(text)
            return number / 1000 if number >= 1e11 else number
        raise ValueError("not a timestamp")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    days = _days(int(year), int(month), int(day))
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if h > 23 or m > 59 or s > 60:
        raise ValueError("no such time of day")
    at = days * 86400.0 + h * 3600 + m * 60 + s
    if fraction:
        at += float("0." + fraction)
    return at - _offset(zone)


@functools.lru_cache(maxsize=4096)
def _days(year: int, month: int, day: int) -> int:
    return datetime.date(year, month, day).toordinal() - _EPOCH_DAY


def _offset(zone: str) -> float:
    if not zone or zone[0] not in "+-":
        return 0.0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return float(seconds if zone[0] == "+" else -seconds)


def written(at: float) -> str:
    """`at` as RFC 3339 in UTC, whole seconds: `2026-01-05T08:30:00Z`."""
    whole = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(at // 1))
    return whole.strftime("%Y-%m-%dT%H:%M:%SZ")


def day(at: float) -> str:
    """The UTC day of `at`: `2026-01-05`."""
    return written(at)[:10]


def length(text: str) -> float:
    """Seconds in a length such as `24h`, `7d` or `250ms`; ValueError when it is none."""
    found = _LENGTH.fullmatch(text.strip())
    if not found:
        raise ValueError("not a length of time")
    return float(found.group(1)) * _UNITS[found.group(2)]


def now(said: str, newest: float) -> float:
    """The instant that `--now` means: empty is the clock, `newest` is the newest row, else a stamp."""
    if not said:
        return time.time()
    if said == "newest":
        return newest
    try:
        return parse(said)
    except ValueError:
        raise Broke(
            f'--now "{shown(said)}" is not a timestamp',
            "write 2026-01-31T08:00:00Z, or `newest` for the time of the newest row",
            code=2,
        ) from None

"""The share of time that a system was up, from samples of its state."""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

from .broke import Broke
from .instants import Window
from .requests import FAILED, PASSED
from .tables import Table
from .wording import shown

_UP = PASSED | {"1", "up", "healthy", "warning"}
_DOWN = FAILED | {"0", "down", "critical", "unhealthy"}


class Uptime(NamedTuple):
    """Seconds up, and seconds in which the state is known; what is not known counts as neither."""

    up: float
    known: float
    samples: int


def read(table: Table) -> List[Tuple[float, bool]]:
    """All samples of a table with the columns timestamp and up, in order of time; Broke when there are none.

    `up` is 1, up, ok, healthy …, 0, down, failed, critical …, or an HTTP code (below 500 is up).
    """
    when, state = table.need("timestamp"), table.need("up")
    found = []
    for line, cells in table.rows():
        if table.blank(cells[state]):
            continue
        word = table.text(cells[state]).lower()
        if word.isdigit() and len(word) == 3:
            up = word < "500"
        elif word in _UP or word in _DOWN:
            up = word in _UP
        else:
            raise Broke(f'{table.where(line)}: up is "{shown(word)}"', "write 1 or 0, up or down, ok or failed")
        found.append((table.instant(cells[when], line), up))
    if not found:
        raise Broke(f"{table.name}: no rows", "it needs samples of the state: timestamp, up")
    return sorted(found)


def measure(samples: List[Tuple[float, bool]], window: Window) -> Uptime:
    """The uptime within `window`.

    A sample holds until the next one, but at most twice the median distance between samples: after that
    nobody looked, and the state is not known.
    """
    gaps = sorted(b[0] - a[0] for a, b in zip(samples, samples[1:]))
    hold = 2 * gaps[len(gaps) // 2] if gaps else 60.0
    ends = [t for t, _ in samples[1:]] + [samples[-1][0] + hold]
    up = known = 0.0
    used = 0
    for (start, state), end in zip(samples, ends):
        length = min(end, start + hold, window.end) - max(start, window.start)
        if length <= 0:
            continue
        used += 1
        known += length
        up += length if state else 0.0
    return Uptime(up, known, used)

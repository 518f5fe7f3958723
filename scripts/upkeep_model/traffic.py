"""The requests of a window as a whole, by endpoint, by model and over time."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

from .instants import Window
from .requests import Request, Requests
from .tally import Group, Tally

_STEPS = (60, 300, 900, 1800, 3600, 10800, 21600, 86400, 7 * 86400, 30 * 86400)
MOST_ENDPOINTS = 500
OTHERS = "(others)"


class Traffic:
    """endpoints beyond the first 500 that occur are counted together: a path with an id in it is no endpoint.

    step     seconds of one point in time; at most about 60 points in the window
    minutes  requests by minute number since 1970
    covered  seconds of the window since the log begins: what means over time are taken over
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.covered = window.seconds
        self.step = next((s for s in _STEPS if window.seconds / s <= 60), _STEPS[-1])
        self.whole = Tally(scores=False)
        self.endpoints: Dict[str, Tally] = {}
        self.models: Dict[Group, Tally] = {}
        self.points: Dict[int, Tally] = {}
        self.minutes: Dict[int, int] = {}

    def add(self, r: Request) -> None:
        self.whole.add(r)
        name = r.endpoint if r.endpoint is not None else "-"
        if name not in self.endpoints and len(self.endpoints) >= MOST_ENDPOINTS:
            name = OTHERS
        self.endpoints.setdefault(name, Tally(scores=False)).add(r)
        self.models.setdefault((r.model, r.version), Tally(scores=False)).add(r)
        self.points.setdefault(int(r.time // self.step), Tally(scores=False)).add(r)
        minute = int(r.time // 60)
        self.minutes[minute] = self.minutes.get(minute, 0) + 1

    @property
    def per_minute(self) -> float:
        """Mean requests per minute over the covered time."""
        return self.whole.requests / (self.covered / 60)

    @property
    def peak(self) -> int:
        """Requests in the busiest minute."""
        return max(self.minutes.values(), default=0)

    def timeline(self) -> List[Tuple[float, Tally]]:
        """A tally for every step of the window, also for those without requests, with its start."""
        first, last = int(self.window.start // self.step), int(self.window.end // self.step)
        return [(n * self.step, self.points.get(n, Tally(scores=False))) for n in range(first, last + 1)]


def read(log: Requests, windows: List[Window], also: Callable[[Request], None] = lambda r: None) -> List[Traffic]:
    """The traffic of each window, in one pass that also hands every request to `also`."""
    found = [Traffic(w) for w in windows]
    for number, r in log.between(*windows):
        found[number].add(r)
        also(r)
    for traffic in found:
        # A log that begins inside the window says nothing about the time before; less than a minute is no mean.
        traffic.covered = max(60.0, traffic.window.end - max(traffic.window.start, log.oldest))
    return found


def busiest(groups: "dict[str, Tally]") -> List[Tuple[str, Tally]]:
    """The groups, the one with most requests first."""
    return sorted(groups.items(), key=lambda item: (-item[1].requests, item[0]))

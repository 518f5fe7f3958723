"""Line and bar charts as inline SVG, without scripts or fonts of their own."""

from __future__ import annotations

import html
import math
from typing import List, NamedTuple, Optional, Sequence

from .wording import shown

_WIDTH, _HEIGHT = 760, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 24, 28
_COLORS = ("var(--a)", "var(--b)", "var(--c)")


class Line(NamedTuple):
    """One series; None is a gap."""

    name: str
    values: Sequence[Optional[float]]


class Chart(NamedTuple):
    """title   what is shown and in which unit
    labels     one for each point, from left to right
    lines      up to three series of as many points
    bars       draw the first series as bars"""

    title: str
    labels: Sequence[str]
    lines: Sequence[Line]
    bars: bool = False


def svg(chart: Chart) -> str:
    """The chart as an SVG element with a text alternative; the scale starts at zero."""
    top = _round_up(max((v for s in chart.lines for v in s.values if v is not None), default=0.0))
    summary = "; ".join(f"{s.name}: {_extent(s.values)}" for s in chart.lines)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_safe(chart.title + ". " + summary)}">',
        *_grid(top), *_ticks(chart.labels),
    ]
    for number, series in enumerate(chart.lines[:3]):
        color = _COLORS[number]
        parts += _bars(series, top, color) if chart.bars and number == 0 else _path(series, top, color)
        x = _LEFT + 150 * number
        parts.append(f'<rect x="{x}" y="6" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{x + 15}" y="15">{_safe(series.name)}</text>')
    return "\n".join(parts) + "\n</svg>"


def _x(i: int, n: int) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    return _LEFT + room * (i + 0.5) / n


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _grid(top: float) -> List[str]:
    parts = []
    for k in range(5):
        value = top * k / 4
        y = _y(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return parts


def _ticks(labels: Sequence[str]) -> List[str]:
    step = max(1, math.ceil(len(labels) / 7))
    return [
        f'<text x="{_x(i, len(labels)):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{_safe(labels[i])}</text>'
        for i in range(0, len(labels), step)
    ]


def _bars(series: Line, top: float, color: str) -> List[str]:
    n = len(series.values)
    width = max(1.0, 0.8 * (_WIDTH - _LEFT - _RIGHT) / n)
    return [
        f'<rect x="{_x(i, n) - width / 2:.1f}" y="{_y(v, top):.1f}" width="{width:.1f}" '
        f'height="{_HEIGHT - _BOTTOM - _y(v, top):.1f}" fill="{color}"/>'
        for i, v in enumerate(series.values) if v
    ]


def _path(series: Line, top: float, color: str) -> List[str]:
    n = len(series.values)
    steps, pen = [], "M"
    for i, v in enumerate(series.values):
        if v is None:
            pen = "M"
            continue
        alone = pen == "M" and (i + 1 == n or series.values[i + 1] is None)
        steps.append(f"{pen}{_x(i, n):.1f} {_y(v, top):.1f}" + ("h.1" if alone else ""))
        pen = "L"
    return [
        f'<path d="{" ".join(steps)}" fill="none" stroke="{color}" stroke-width="2" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    ]


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 4, 6, 8, 10, 20) if m * power >= value)


def _extent(values: Sequence[Optional[float]]) -> str:
    some = [v for v in values if v is not None]
    return f"{min(some):g} to {max(some):g}" if some else "no data"


def _safe(text: str) -> str:
    return html.escape(shown(text, 300), quote=True)

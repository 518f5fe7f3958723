"""A small document that is written as Markdown and as one self-contained HTML page.

All text is data: it is escaped here, in one place, and nowhere else.
"""

from __future__ import annotations

import html
import re
from typing import List, NamedTuple, Sequence, Union

from .charts import Chart, svg
from .wording import shown

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6470;--line:#d8dee4;--paper:#fff;--bad:#b3261e;--warn:#8a5a00;
--good:#1a6e37;--a:#2563c9;--b:#c2410c;--c:#6b7280}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4b0;--line:#343b44;--paper:#15181c;--bad:#ff8a80;--warn:#f0b95c;
--good:#7bd69a;--a:#7aa8ff;--b:#ff9d66;--c:#9aa4b0}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}p{margin:.4rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600}.n{text-align:right;white-space:nowrap}
.bad{color:var(--bad);font-weight:600}.warn{color:var(--warn);font-weight:600}.good{color:var(--good)}
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}figure{margin:1rem 0}figcaption{color:var(--soft)}
@media print{body{margin:0}}
"""


class Cell(NamedTuple):
    """Text with a mood: `good`, `warn`, `bad` or none."""

    text: str
    mood: str = ""


class Grid(NamedTuple):
    """A table. numeric: numbers of the columns that hold numbers, set right."""

    header: Sequence[str]
    rows: Sequence[Sequence[Union[str, Cell]]]
    numeric: Sequence[int] = ()


Block = Union[str, Grid, Chart]


class Section(NamedTuple):
    title: str
    blocks: List[Block]


class Document(NamedTuple):
    title: str
    lead: List[str]
    sections: List[Section]


def markdown(document: Document) -> str:
    """The document as Markdown; charts are left out, as their numbers stand in the tables."""
    lines = [f"# {_plain(document.title)}", ""]
    for text in document.lead:
        lines += [_plain(text), ""]
    for section in document.sections:
        lines += [f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            if isinstance(block, str):
                lines += [_plain(block), ""]
            elif isinstance(block, Grid):
                lines += _rows(block) + [""]
    return "\n".join(lines)


def page(document: Document) -> str:
    """The document as one HTML page: no script, nothing fetched, and a policy that forbids both."""
    parts = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_safe(document.title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_safe(document.title)}</h1>",
    ]
    parts += [f"<p>{_safe(text)}</p>" for text in document.lead]
    for section in document.sections:
        parts.append(f"<section><h2>{_safe(section.title)}</h2>")
        for block in section.blocks:
            if isinstance(block, str):
                parts.append(f"<p>{_safe(block)}</p>")
            elif isinstance(block, Grid):
                parts.append(_table(block))
            else:
                parts.append(f"<figure>{svg(block)}<figcaption>{_safe(block.title)}</figcaption></figure>")
        parts.append("</section>")
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _cell(value: Union[str, Cell]) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _rows(grid: Grid) -> List[str]:
    rule = ["---:" if i in grid.numeric else "---" for i in range(len(grid.header))]
    lines = ["| " + " | ".join(_plain(h) for h in grid.header) + " |", "| " + " | ".join(rule) + " |"]
    for row in grid.rows:
        texts = [(_cell(v).mood in ("bad", "warn"), _plain(_cell(v).text)) for v in row]
        lines.append("| " + " | ".join(f"**{t}**" if strong and t else t for strong, t in texts) + " |")
    return lines


def _table(grid: Grid) -> str:
    def put(tag: str, i: int, value: Union[str, Cell]) -> str:
        cell = _cell(value)
        names = " ".join(n for n in ("n" if i in grid.numeric else "", cell.mood) if n)
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}" + (f' class="{names}"' if names else "") + f">{_safe(cell.text)}</{tag}>"

    head = "".join(put("th", i, h) for i, h in enumerate(grid.header))
    body = "\n".join("<tr>" + "".join(put("td", i, v) for i, v in enumerate(row)) + "</tr>" for row in grid.rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _plain(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", shown(text, 400))


def _safe(text: str) -> str:
    return html.escape(shown(text, 400), quote=True)

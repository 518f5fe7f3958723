"""Words for people and names for machines, made from text that came out of data."""

from __future__ import annotations

import difflib
import unicodedata
from typing import Dict, Iterable, Set, Tuple

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def shown(text: object, limit: int = 60) -> str:
    """`text` on one line: control characters as spaces, cut to `limit` characters."""
    cleaned = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in str(text))
    cleaned = " ".join(cleaned.split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def suggestion(wanted: str, known: Iterable[str]) -> str:
    """`did you mean "x"?` when one of `known` is close to `wanted`, else the empty string."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(wanted.lower(), list(by_lower), n=1, cutoff=0.6)
    return f'did you mean "{shown(by_lower[close[0]])}"?' if close else ""


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first `most` names, comma separated, and how many more there are."""
    every = [shown(n, 40) for n in names]
    if len(every) <= most:
        return ", ".join(every)
    return ", ".join(every[:most]) + f" and {len(every) - most} more"


def percent(share: float, digits: int = 1) -> str:
    """A share between 0 and 1 as `93.4 %`."""
    return f"{100 * share:.{digits}f} %"


def span(seconds: float) -> str:
    """A length of time in its largest sensible unit: `45s`, `12m`, `3.5h`, `9.2d`."""
    seconds = abs(seconds)
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds / 60:.0f}m"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f}h".replace(".0h", "h")
    return f"{seconds / 86400:.1f}d".replace(".0d", "d")


class Slugs:
    """Gives every text of the data a name that is allowed in a result, and never the same name twice."""

    def __init__(self) -> None:
        self._names: Dict[Tuple[str, ...], str] = {}
        self._taken: Set[str] = set()

    def of(self, *texts: str) -> str:
        """The name of `texts` joined by dots, always the same one: lower case, at most 48 characters."""
        if texts in self._names:
            return self._names[texts]
        plain = ".".join(_plain(t) for t in texts)[:48].strip(".-_") or "x"
        name, number = plain, 1
        while name in self._taken:
            number += 1
            name = f"{plain}-{number}"
        self._taken.add(name)
        self._names[texts] = name
        return name


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    joined = "".join(c if c in NAME_CHARACTERS else "-" for c in folded)
    while "--" in joined:
        joined = joined.replace("--", "-")
    return joined.strip("-.") or "x"

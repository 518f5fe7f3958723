"""The one exception of the model scripts."""

from __future__ import annotations


class Broke(Exception):
    """The script could not measure; it ends with exit code `code` and no result.

    what  one line: what failed, on what, why. Names file and line where there is one.
    hint  one line: what the reader can do about it. May be empty.
    """

    def __init__(self, what: str, hint: str = "", code: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.code = code

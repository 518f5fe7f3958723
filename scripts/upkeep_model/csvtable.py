"""CSV files as tables: UTF-8 with or without a byte order mark, plain or gzip, read as a stream."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import stat
import zlib
from typing import IO, FrozenSet, Iterator, List, Mapping, cast

from .broke import Broke
from .tables import CELL_LIMIT, Row, Table
from .wording import listed, shown, suggestion

_SQLITE_MAGIC = b"SQLite format 3\0"


class CsvTable(Table):
    """One CSV file. Quoting is strict: a stray quote is an error, not a guess.

    A row with more or fewer cells than the header is an error with its line. The one exception is a
    last line without a line end: it is still being written, is left out, and `unfinished` says so.
    """

    def __init__(self, path: str, delimiter: str, mapping: Mapping[str, str], missing: FrozenSet[str]) -> None:
        self.path = path
        self.unfinished = False
        self._delimiter = delimiter
        self._ended = True
        self._line = 0
        with self._reader() as reader:
            header = [h.strip() for h in next(reader, [])]
        super().__init__(path, header, mapping, missing)
        if not any(header):
            raise Broke(f"{path}: the file is empty", "it needs a header line and rows")
        doubled = sorted({h for h in header if h and header.count(h) > 1})
        if doubled:
            raise Broke(f"{path}:1: column {listed(doubled)} appears twice", "rename one of the columns")

    def where(self, number: int) -> str:
        return f"{self.path}:{number}"

    def rows(self) -> Iterator[Row]:
        width = len(self.columns)
        with self._reader() as reader:
            next(reader, None)
            while True:
                at = reader.line_num + 1
                cells = next(reader, None)
                if cells is None:
                    return
                if len(cells) == width:
                    yield at, cells
                elif not cells:
                    continue
                elif len(cells) < width and not self._ended:
                    self.unfinished = True
                    return
                else:
                    raise Broke(
                        f"{self.where(at)}: the row has {len(cells)} cells, the header has {width}",
                        "quote cells that hold the separator; check that the file was written to its end",
                    )

    @contextlib.contextmanager
    def _reader(self) -> Iterator["_Reader"]:
        self._line = 0
        stream = _opened(self.path)
        try:
            yield _Reader(self, csv.reader(self._lines(stream), delimiter=self._delimiter, strict=True))
        finally:
            stream.close()

    def _lines(self, stream: io.TextIOBase) -> Iterator[str]:
        while True:
            line = stream.readline(CELL_LIMIT)
            if not line:
                return
            self._line += 1
            self._ended = line[-1] in "\r\n"
            if len(line) >= CELL_LIMIT and not self._ended:
                raise Broke(
                    f"{self.where(self._line)}: the line is longer than {CELL_LIMIT} characters",
                    "this does not look like a CSV file of measurements",
                )
            if "\0" in line:
                raise Broke(f"{self.where(self._line)}: the line holds a NUL character", "is this really a CSV file?")
            yield line


class _Reader:
    """csv.reader whose errors name file and line."""

    def __init__(self, table: CsvTable, reader) -> None:  # the type of csv.reader has no public name
        self._table = table
        self._reader = reader

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __next__(self) -> List[str]:
        table = self._table
        try:
            return next(self._reader)
        except csv.Error as why:
            cut = "unexpected end of data" in str(why)
            raise Broke(
                f"{table.path}:{self._reader.line_num}: {why}",
                "a quoted cell has no closing quote: the file is cut off, or a quote was not doubled"
                if cut
                else 'cells that hold quotes are written "like ""this"""',
            ) from None
        except UnicodeDecodeError:
            raise Broke(
                f"{table.path}: not UTF-8 after line {table._line}", "save it as UTF-8: iconv -f latin1 -t utf-8"
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as why:
            raise Broke(f"{table.path}: broken gzip: {why}", "test it with: gzip -t FILE") from None
        except OSError as why:
            raise Broke(f"{table.path}: {why.strerror or why}", "check the file and its disk") from None


def _opened(path: str) -> io.TextIOBase:
    check_file(path)
    try:
        file = open(path, "rb")
    except OSError as why:
        raise Broke(f"{path}: {why.strerror}", "check the permissions of the file") from None
    head = file.read(16)
    file.seek(0)
    wrong = ""
    if head.startswith(_SQLITE_MAGIC):
        wrong = "this is a SQLite database: name it with --sqlite FILE and --table NAME"
    elif head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        wrong = "this is UTF-16: save it as UTF-8"
    if wrong:
        file.close()
        raise Broke(f"{path}: not a UTF-8 CSV file", wrong)
    if head[:2] == b"\x1f\x8b":
        file.close()
        return io.TextIOWrapper(cast(IO[bytes], gzip.open(path, "rb")), encoding="utf-8-sig", newline="")
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def check_file(path: str) -> None:
    """Broke unless `path` is a regular file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = _beside(folder, os.path.basename(path))
        raise Broke(f"{path}: no such file", near or f"relative to {shown(os.getcwd(), 200)}") from None
    except (OSError, ValueError) as why:
        raise Broke(f"{shown(path, 200)}: {getattr(why, 'strerror', None) or why}") from None
    if not stat.S_ISREG(found.st_mode):
        raise Broke(f"{path}: not a regular file", "it is read more than once, so a pipe or folder will not do")


def _beside(folder: str, name: str) -> str:
    try:
        return suggestion(name, sorted(os.listdir(folder))[:1000])
    except OSError:
        return ""


csv.field_size_limit(CELL_LIMIT)

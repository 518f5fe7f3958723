"""Files that appear as a whole or not at all."""

from __future__ import annotations

import os


def put(path: str, content: bytes, mode: int = 0o666) -> None:
    """Makes `path` hold `content`: temporary file in the same folder, fsync, rename, fsync of the folder.

    Whatever happens before the rename leaves an earlier file at `path` as it was. An error, an exception or
    a TERM signal removes the temporary file; only a KILL can leave one behind (`.NAME.<random>.tmp`).
    The mode is subject to the umask. Raises OSError.
    """
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

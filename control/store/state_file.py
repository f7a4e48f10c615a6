"""Checks that the state's path still leads to the file that was opened."""

from __future__ import annotations

import os
from pathlib import Path

_MAGIC = b"SQLite format 3\0"


class StateFile:
    """Checks the file without SQLite, which keeps much of it in memory.

    The descriptor stays open as long as the database: closing any descriptor of a file gives up the
    locks that SQLite has on it (POSIX advisory locks belong to the process).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY)

    def wrong(self) -> str:
        """Why the file must not be written to any more; empty if nothing is wrong."""
        try:
            there = os.stat(self._path)
        except OSError as error:
            return f"{self._path} was taken away ({error.strerror})"
        try:
            ours = os.fstat(self._fd)
            begin = os.pread(self._fd, len(_MAGIC), 0)
        except OSError as error:  # for example, the disk fails
            return f"{self._path} cannot be read ({error.strerror})"
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            return f"{self._path} was replaced while it is in use; start the control plane again"
        if begin not in (_MAGIC, b""):
            return f"{self._path} is damaged; bring a backup back: turnout restore FILE"
        return ""

    def close(self) -> None:
        """Close the descriptor; only after the database has been closed."""
        os.close(self._fd)

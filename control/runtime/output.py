"""What local processes print: one file each, bounded while they write, tailed and followed.

Processes write to the file themselves, so they can go on when the control plane ends. The file
keeps its name and inode as long as they run: when it is full, its end is copied to a second file,
.1, and it is emptied.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import IO

from router.process.state import make_private, open_private

MAX_BYTES = 10 << 20  # of one file; a replica takes twice that
_TAIL_BYTES = 64 << 10
_CHUNK = 1 << 20
_MAX_LINE = 64 << 10  # a longer line is cut
_FOLLOW_S = 0.2
_ROTATE_S = 1.0


class Outputs:
    """The output of every replica that runs here."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def open(self, replica: str) -> IO[bytes]:
        """The file a process writes to.

        Opened for appending, or an emptied file would have a hole.
        """
        make_private(self._folder)
        return open_private(self.path(replica), "ab")

    def path(self, replica: str) -> Path:
        """The file that is being written."""
        return self._folder / f"{replica}.log"

    async def keep_bounded(self, running: Callable[[], Iterable[str]]) -> None:
        """Rotate full files until cancelled; in a thread, since a full disk is slow."""
        while True:
            await asyncio.sleep(_ROTATE_S)
            full = [name for name in running() if self._is_full(name)]
            if full:
                await asyncio.to_thread(self._rotate_all, full)

    def _is_full(self, replica: str) -> bool:
        try:
            return os.stat(self.path(replica)).st_size > self._max_bytes
        except OSError:
            return False

    def _rotate_all(self, replicas: Iterable[str]) -> None:
        for replica in replicas:
            self.rotate(replica)

    def rotate(self, replica: str) -> None:
        """Keep the newest bytes of a file as .1, and empty it.

        Output written between the copy and the emptying is lost, which is microseconds of it.
        """
        path = self.path(replica)
        old = path.with_suffix(".log.1")
        try:
            with path.open("r+b") as live:
                begin = max(0, os.fstat(live.fileno()).st_size - self._max_bytes)
                live.seek(begin)
                try:
                    with open_private(old, "wb") as kept:
                        while part := live.read(_CHUNK):
                            kept.write(part)
                finally:  # even on a full disk, the live file must not grow on
                    live.truncate(0)
        except OSError:
            pass

    def tail(self, replica: str, lines: int) -> list[str]:
        """The last lines, partly from .1 if the live file has just been emptied."""
        raw = _end_of(self.path(replica), _TAIL_BYTES)
        if len(raw) < _TAIL_BYTES:
            raw = _end_of(self.path(replica).with_suffix(".log.1"), _TAIL_BYTES - len(raw)) + raw
        return raw.decode(errors="replace").splitlines()[-lines:] if lines > 0 else []

    async def follow(
        self, replica: str, lines: int, is_running: Callable[[], bool]
    ) -> AsyncIterator[str]:
        """The last lines, then new output until the replica has ended."""
        path = self.path(replica)
        rest = b""
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            file.seek(0, os.SEEK_END)
            for line in self.tail(replica, lines):
                yield line
            while True:
                is_over = not is_running()
                while part := file.read(_CHUNK):
                    *whole, rest = (rest + part).split(b"\n")
                    for raw in whole:
                        yield raw.decode(errors="replace")
                    if len(rest) > _MAX_LINE:
                        yield rest.decode(errors="replace")
                        rest = b""
                if is_over:
                    return
                if path.exists() and path.stat().st_size < file.tell():
                    file.seek(0)  # the file was emptied
                    continue
                await asyncio.sleep(_FOLLOW_S)  # polled, because asyncio has no events for files

    def forget(self, replica: str) -> None:
        for suffix in (".log", ".log.1"):
            self.path(replica).with_suffix(suffix).unlink(missing_ok=True)


def _end_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            return file.read(most)
    except OSError:
        return b""

"""Watches a routes file, and takes it once its writer has finished."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

from router.contract.routes_file import BadRoutes, parse
from router.contract.snapshot import Snapshot
from router.sources.source import Reporter

_NOTHING = "for no apps, write a comment"
_FILE_POLL_S = 0.25  # one stat each; inotify would miss some mounts and needs a library

Stamp = tuple[int, int, int]  # inode, modification time, size


def _is_same_file(one: Stamp, other: Stamp) -> bool:
    return one[0] == other[0] != -1


class FileSource:
    """Follows a routes file; the version counts how often it was loaded."""

    heard_at = 0.0  # there is no control plane

    def __init__(self, path: Path, domain: str) -> None:
        self._path = path
        self._domain = domain
        self._hurry = asyncio.Event()
        self._version = 0

    def hurry(self) -> None:
        """Read the file again even if it does not look changed."""
        self._hurry.set()

    async def kept(self) -> None:
        """Returns at once: the file itself is what the next start reads."""

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yield a table when the file changes: at once after a rename, else when writing has
        stopped.

        A file that is being written in place may be valid, with some of its apps missing.
        """
        taken = before = self._stamp()
        yield self._load()
        while True:
            stamp = self._stamp()
            is_written = stamp != before and _is_same_file(stamp, before)
            before = stamp
            if self._hurry.is_set() or (stamp != taken and not is_written):
                self._hurry.clear()
                taken = stamp
                yield self._load()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FILE_POLL_S):
                    await self._hurry.wait()

    def _stamp(self) -> Stamp:
        try:
            status = self._path.stat()
        except OSError as error:
            return -1, error.errno or 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self) -> Snapshot | str:
        try:
            text = self._path.read_text()
            if not text.strip():
                return f"{self._path} is empty, which is no way to take all apps away: {_NOTHING}"
            snapshot = parse(text)
        except (OSError, UnicodeDecodeError) as error:
            return f"cannot read {self._path}: {error}"
        except BadRoutes as error:
            return f"{self._path}: {error}"
        self._version += 1
        return dataclasses.replace(snapshot, version=self._version, epoch="file")

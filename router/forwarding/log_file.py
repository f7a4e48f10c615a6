"""A log file that is rotated under way, and the thread that writes to it.

A descriptor number is never used after its close: by then another thread may have a socket under
it, and lines would reach, or cut off, somebody's client. The file object that owns the number
refuses instead. While there is no file, because the target cannot be opened, lines are dropped
and counted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import stat
import sys
import threading
from io import FileIO
from time import monotonic

log = logging.getLogger("turnout.router")

STDOUT = "-"
_MOST_WAITING_BYTES = 8 << 20  # some 25,000 lines; a second's worth at full speed
_REOPEN_S = 0.5  # between two tries to open a target that could not be opened


def check_target(target: str) -> None:
    """Raises OSError when lines cannot be written there. A FIFO's reader may come later."""
    try:
        _open(target).close()
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise


def _open(target: str) -> FileIO:
    if target != STDOUT:
        return FileIO(target, "a", opener=_open_descriptor)
    if sys.__stdout__ is None:  # it was closed at start, so 1 is the number of something else
        raise OSError(errno.EBADF, "stdout is closed")
    return FileIO(os.dup(1), "w")


def _open_descriptor(path: str, flags: int) -> int:
    # Opening a FIFO waits for its reader, unless it is opened non-blocking.
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o640)
    os.set_blocking(fd, True)
    return fd


class LogFile:
    """Takes lines whenever the target can be opened; no method raises OSError."""

    __slots__ = ("_file", "_is_pipe", "_is_torn", "_reopen_at", "_target")

    def __init__(self, target: str) -> None:
        self._target = target
        self._file: FileIO | None = None
        self._is_pipe = False
        self._is_torn = False  # the last line in the file is not whole
        self._reopen_at = 0.0

    def write(self, lines: list[bytes]) -> int:
        """Append lines; returns how many of them were lost."""
        self.follow()
        if self._file is None:
            return len(lines)
        if self._is_torn:
            self._put(self._file, b"\n")
        # Workers share the file: appends to a file are whole, but a pipe mixes long writes.
        pieces = lines if self._is_pipe else [b"".join(lines)]
        return sum(self._put(self._file, piece).count(b"\n") for piece in pieces)

    def follow(self) -> None:
        """Open the target, if it is not open or was moved away (logrotate)."""
        old = self._file
        if old is None and monotonic() < self._reopen_at:
            return
        if old is not None and (self._target == STDOUT or _is_at(self._target, old)):
            return
        self._file = self._opened()
        if old is not None:
            _close(old)

    def close(self) -> None:
        """Close it; a later write would open it anew."""
        file, self._file = self._file, None
        if file is not None:
            _close(file)

    def _opened(self) -> FileIO | None:
        try:
            file = _open(self._target)
        except OSError as error:
            if not self._reopen_at:  # told once, not twice a second
                log.warning(
                    "access log %s: %s; its lines are dropped until it can be opened",
                    self._target,
                    error.strerror,
                )
            self._reopen_at = monotonic() + _REOPEN_S
            return None
        self._reopen_at = 0.0
        self._is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
        self._is_torn = False
        return file

    def _put(self, file: FileIO, data: bytes) -> bytes:
        """Write; returns what could not be written: the disk is full, or nobody reads the pipe."""
        left = data
        with contextlib.suppress(OSError):
            while left and (size := file.write(left)):
                left = left[size:]
        written = data[: len(data) - len(left)]
        if written:
            self._is_torn = not written.endswith(b"\n")
        return left


def _is_at(target: str, file: FileIO) -> bool:
    """Whether a file still is the one that the target names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(target))
    except OSError:
        return False


def _close(file: FileIO) -> None:
    with contextlib.suppress(OSError):  # a late write error, as NFS has them; it is closed
        file.close()


class LogWriter:
    """The thread that may block on a disk or a pipe, so that the loop never does."""

    def __init__(self, target: str) -> None:
        self._file = LogFile(target)
        self._file.follow()  # a log without lines is an empty file
        self._queue: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._offered = 0  # bytes; each of the two is written by one thread only
        self._written = 0
        self._lost = 0
        self._lost_told = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def offer(self, lines: list[bytes]) -> bool:
        """Take lines, unless too much waits already."""
        if self._offered - self._written > _MOST_WAITING_BYTES:
            return False
        self._offered += sum(map(len, lines))
        self._queue.put(lines)
        return True

    def lost(self) -> int:
        """Lines that could not be written since it was last asked."""
        lost, self._lost_told = self._lost - self._lost_told, self._lost
        return lost

    def close(self, wait_s: float) -> None:
        """End after what was offered, but wait no longer than `wait_s`."""
        self._queue.put(None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        while (lines := self._queue.get()) is not None:
            try:
                self._lost += self._file.write(lines)
            except MemoryError:  # for the batch as one piece; the next may be smaller
                self._lost += len(lines)
            self._written += sum(map(len, lines))
        self._file.close()

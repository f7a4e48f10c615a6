"""Whether workers serve on that a supervisor before this one left, by being killed.

Each supervisor makes a file and locks it with a descriptor that its workers inherit. So the kernel
keeps the lock until the last of them has ended, in whatever way: who gets it knows they are gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from router.process.state import make_private

log = logging.getLogger("turnout.router")

_PREFIX, _SUFFIX = "workers-", ".lock"


class Orphans:
    """Those of one router: nobody tells them of tables, nor is told what they still use."""

    def __init__(self, folder: Path, most_s: float) -> None:
        self._folder = folder
        self._most_s = most_s  # after which one that works has ended by itself
        self._given_up_at = 0.0  # steady
        self._locks: list[Path] = []  # of supervisors before, that were held when last looked at

    def begin(self, kept: Sequence[int] = ()) -> list[int]:
        """Find those that are there; returns the descriptors that workers of ours inherit.

        `kept` are those of the code before us: the workers of this process are no orphans.
        """
        marks = list(kept)
        try:
            if not marks:
                marks.append(self._mark())
        except OSError as error:  # a read-only root: nothing is known of ours, should we be killed
            log.info("event=workers_not_marked path=%s reason=%r", self._folder, str(error))
        ours = [os.fstat(mark) for mark in marks]
        for lock in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            if not any(os.path.samestat(lock.stat(), mark) for mark in ours):
                self._locks.append(lock)
        self._given_up_at = monotonic() + self._most_s
        if self.are_there():
            log.warning("event=orphans_found supervisors=%d", len(self._locks))
        return marks

    def _mark(self) -> int:
        make_private(self._folder)
        mark, _ = tempfile.mkstemp(_SUFFIX, _PREFIX, self._folder)
        fcntl.flock(mark, fcntl.LOCK_SH)
        return mark

    def are_there(self) -> bool:
        """Whether any of them may still use a replica; a few system calls each, while they do."""
        if self._locks:
            self._locks = [lock for lock in self._locks if not _is_free(lock)]
            if not self._locks:
                log.info("event=orphans_gone")
            elif monotonic() >= self._given_up_at:  # one that hangs must not hold up every app
                log.warning("event=orphans_given_up supervisors=%d", len(self._locks))
                self._locks = []
        return bool(self._locks)


def _is_free(lock: Path) -> bool:
    """Whether nobody holds it; its file is removed then, as far as that is possible."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.unlink()
    except BlockingIOError:
        return False
    except OSError:  # a lock that cannot be had at all is nobody's
        pass
    return True

"""Detects workers that serve on after their supervisor was killed.

Each supervisor locks a file with a descriptor that its workers inherit. The kernel keeps the lock
until the last of them has ended, in whatever way: a later supervisor that gets the lock knows they
are gone.
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
    """The orphaned workers of one router: they hear of no tables and report no use of replicas."""

    def __init__(self, folder: Path, most_s: float) -> None:
        self._folder = folder
        self._most_s = most_s  # seconds after which a healthy orphan has ended by itself
        self._given_up_at = 0.0  # monotonic
        self._locks: list[Path] = []  # locks of earlier supervisors that were held at the last look

    def begin(self, kept: Sequence[int] = ()) -> list[int]:
        """Find earlier supervisors' locks; returns the descriptors that our workers must inherit.

        `kept` are the descriptors of the code before an upgrade: its workers belong to this process
        and are not orphans.
        """
        marks = list(kept)
        try:
            if not marks:
                marks.append(self._mark())
        # a read-only root: should we be killed, our workers cannot be detected
        except OSError as error:
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
        """Whether an orphan may still use a replica.

        Costs a few system calls while there are any.
        """
        if self._locks:
            self._locks = [lock for lock in self._locks if not _is_free(lock)]
            if not self._locks:
                log.info("event=orphans_gone")
            # an orphan that hangs must not hold up every app
            elif monotonic() >= self._given_up_at:
                log.warning("event=orphans_given_up supervisors=%d", len(self._locks))
                self._locks = []
        return bool(self._locks)


def _is_free(lock: Path) -> bool:
    """Whether no process holds the lock; if so, its file is removed where possible."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.unlink()
    except BlockingIOError:
        return False
    except OSError:  # a lock that cannot be taken at all counts as free
        pass
    return True

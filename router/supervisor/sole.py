"""Allows one router per state directory.

Two would take each other's workers for orphans, report to a control plane under one name, and keep
their last tables in one file. A router that only uses a routes file keeps nothing there that
another could harm.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from router.process.state import lock_alone, make_private

log = logging.getLogger("turnout.router")


def claim(state: Path, given: int) -> int:
    """Lock the state directory; returns the descriptor, or -1 where nothing can be locked.

    `given` is the descriptor that code before an upgrade handed over. Workers do not inherit it, so
    the lock is free as soon as this process ends. Raises BadSettings when another router holds it.
    """
    if given >= 0:
        return given
    folder = state / "router"
    try:
        make_private(folder)
        with lock_alone(folder / "supervisor.lock", state, "router") as lock:
            return os.dup(lock.fileno())
    except OSError as error:  # a read-only root: then nothing is kept that two routers could share
        log.info("event=state_not_locked path=%s reason=%r", folder, str(error))
        return -1

"""One router on a state directory: two would take each other's workers for orphans, speak to a
control plane in one name, and keep their last tables in one file. A router on a routes file alone
keeps nothing there that another could harm.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from router.process.state import lock_alone, make_private

log = logging.getLogger("turnout.router")


def claim(state: Path, given: int) -> int:
    """The descriptor that holds the state for us, given or new; -1 where nothing can be locked.

    Workers do not inherit it, so it is free as soon as this process ends. Raises BadSettings.
    """
    if given >= 0:
        return given
    folder = state / "router"
    try:
        make_private(folder)
        with lock_alone(folder / "supervisor.lock", state, "router") as lock:
            return os.dup(lock.fileno())
    except OSError as error:  # a read-only root: then nothing is kept that two could share
        log.info("event=state_not_locked path=%s reason=%r", folder, str(error))
        return -1

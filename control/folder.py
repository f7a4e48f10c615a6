"""The state directory: made, and seen to be of use before anything relies on it."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from router.config import BadSettings
from router.state import make_private, tighten

_FULL = (errno.ENOSPC, errno.EDQUOT)  # what is there can be served; the store says more


def prepare(state: Path) -> None:
    """Make a state directory unless it is there. Raises BadSettings when it cannot be written."""
    try:
        make_private(state)
        tighten(state)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        if error.errno in _FULL:
            return
        raise BadSettings(
            f"state: {state} cannot be written ({error.strerror}); "
            "make it a directory that can, or give another --state"
        ) from None

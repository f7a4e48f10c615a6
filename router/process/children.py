"""How turnout starts its own Python processes, and how a child notices that its parent died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TURNOUT_PARENT_FD"  # names the read end of a pipe; the parent alone holds the write end
_ROOT = Path(__file__).resolve().parents[2]  # the directory that holds `router` and `control`


def command(module: str, *args: str) -> list[str]:
    """The command that runs a module of turnout.

    Python would search the working directory first and run a router.py it finds there; -P forbids
    that. PYTHONSAFEPATH is not used because replicas' commands would inherit it, and -I is not used
    because it also hides PYTHONPATH and packages installed for one user. A checkout that is not
    installed is found only through its working directory, where no other file can come before the
    packages.
    """
    is_checkout = False
    with contextlib.suppress(OSError):  # the working directory may have been removed
        is_checkout = Path.cwd() == _ROOT
    return [sys.executable, *([] if is_checkout else ["-P"]), "-m", module, *args]


def on_parent_gone(call: Callable[[], None]) -> None:
    """Call `call` once the parent has died; does nothing if the parent gave us no pipe."""
    fd = os.environ.get(VARIABLE)
    if fd is None:
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(int(fd))
        call()

    os.set_inheritable(int(fd), False)
    loop.add_reader(int(fd), gone)

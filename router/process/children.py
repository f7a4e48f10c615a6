"""How turnout starts Python processes of its own, and how these notice that it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TURNOUT_PARENT_FD"  # names the read end of a pipe that only the parent can write
_ROOT = Path(__file__).resolve().parents[2]  # the directory that holds `router` and `control`


def command(module: str, *args: str) -> list[str]:
    """The command that runs a module of turnout.

    Python would look for the module in the working directory first, and run a router.py that lies
    there; -P forbids that. PYTHONSAFEPATH would pass the same on to the commands of replicas, and
    -I would also hide PYTHONPATH and what a user installed for himself. A checkout that is run
    without being installed is found by its working directory alone, and there nothing can come
    before the packages.
    """
    is_checkout = False
    with contextlib.suppress(OSError):  # the working directory may be gone
        is_checkout = Path.cwd() == _ROOT
    return [sys.executable, *([] if is_checkout else ["-P"]), "-m", module, *args]


def on_parent_gone(call: Callable[[], None]) -> None:
    """Call `call` once the parent has died; nothing happens without a parent that asked for it."""
    fd = os.environ.get(VARIABLE)
    if fd is None:
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(int(fd))
        call()

    os.set_inheritable(int(fd), False)
    loop.add_reader(int(fd), gone)

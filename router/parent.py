"""Leave when the process that started us is gone: a pipe of which only it holds the other end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

VARIABLE = "TURNOUT_PARENT_FD"


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

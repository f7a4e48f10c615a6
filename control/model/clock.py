"""Two clocks: a monotonic one for pauses and deadlines, the wall clock for people.

The wall clock may jump at any moment (NTP, an operator, a laptop that wakes up), so no waiting is
measured by it. Steady seconds count from the boot of the machine: they go on over restarts of the
control plane, and mean nothing after the next boot.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple, Protocol


class Moment(NamedTuple):
    """One moment by both clocks."""

    steady: float
    wall: float


class Clock(Protocol):
    def now(self) -> Moment:
        """This moment."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Moment:
        return Moment(time.monotonic(), time.time())


def boot_id() -> str:
    """Names the boot that steady seconds count from; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""

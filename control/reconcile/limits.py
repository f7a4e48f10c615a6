"""The numbers that plans depend on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Reasons in `settings.py`."""

    progress_deadline_s: float
    crash_loop_exits: int
    drain_timeout_s: float

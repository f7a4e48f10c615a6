"""The seam between a plan and what runs: start, stop, find survivors.

Invariants of every runtime: starting a replica that already runs adopts it; a replica is found
by what marks it as ours, never by its name alone; strangers are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from control.resources import Replica, Revision

# replica name, exit code (None when it cannot be known), last lines of its output
OnExit = Callable[[str, int | None, list[str]], None]


class StartFailed(Exception):
    """A replica could not be started; the message says why, `reason` is the machine word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Runtime(Protocol):
    """Runs replicas of one kind."""

    async def start(
        self, replica: Replica, revision: Revision, siblings: list[Replica], host: str
    ) -> str:
        """Start or adopt a replica; returns HOST:PORT. Raises StartFailed.

        `host` is the host name of its revision, `siblings` are the other replicas of it.
        """

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """TERM, wait, KILL; returns when nothing of it is left."""

    async def survivors(self) -> set[str]:
        """Names of the replicas of ours that run now."""

    def logs(self, replica: str, tail: int) -> list[str]:
        """The last lines of a replica's output."""

    def forget(self, replica: str) -> None:
        """The replica is gone for good: drop what was kept for it."""

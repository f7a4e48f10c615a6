"""The seam between a plan and what runs: start, stop, find survivors.

Invariants of every runtime: starting a replica that already runs adopts it; a replica is found
by what marks it as ours, never by its name alone; strangers are never touched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from control.resources import Replica, Revision
from control.schema import Registry
from control.template import EnvironmentVariable

# replica name, exit code (None when it cannot be known), last lines of its output
OnExit = Callable[[str, int | None, list[str]], None]


class StartFailed(Exception):
    """A replica could not be started; the message says why, `reason` is the machine word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launch:
    """A replica that is to be started, with all that it takes."""

    replica: Replica
    revision: Revision
    siblings: list[Replica]  # the other replicas of the revision
    host: str  # host name of the revision
    target_port: int  # where the app's containers listen
    secrets: Mapping[str, str] = field(repr=False)
    registries: tuple[Registry, ...] = ()

    def variables(self, given: Iterable[EnvironmentVariable], port: int) -> dict[str, str]:
        """The environment of one of its containers (product.md §5)."""
        own = {
            v.name: self.secrets.get(v.secret_ref, "") if v.secret_ref else v.value or ""
            for v in given
        }
        return own | {
            "CONTAINER_APP_NAME": self.revision.app,
            "CONTAINER_APP_REVISION": self.revision.name,
            "CONTAINER_APP_REPLICA_NAME": self.replica.name,
            "CONTAINER_APP_HOSTNAME": self.host,
            "PORT": str(port),
        }


class Runtime(Protocol):
    """Runs replicas of one kind."""

    async def start(self, launch: Launch) -> str:
        """Start or adopt a replica; returns HOST:PORT. Raises StartFailed."""

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """TERM, wait, KILL; returns when nothing of it is left."""

    async def survivors(self) -> set[str]:
        """Names of the replicas of ours that run now."""

    async def logs(self, replica: str, tail: int) -> list[str]:
        """The last lines of a replica's output."""

    def follow(self, replica: str, tail: int) -> AsyncIterator[str]:
        """The last lines of a replica's output, and those that come, until it has ended."""

    def forget(self, replica: str) -> None:
        """The replica is gone for good: drop what was kept for it."""

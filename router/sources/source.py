"""What every source of tables is: a Snapshot for each new table, a text for each refused one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from router.contract.snapshot import Snapshot
from router.sources.counted import Counts, Key


class Reporter(Protocol):
    """What a source may tell the control plane of the router."""

    def applied(self) -> tuple[str, int]:
        """Epoch and version in force in every worker."""

    def departed(self) -> dict[str, int]:
        """Requests in flight at replicas that left the table."""

    def has_orphans(self) -> bool:
        """Whether there are workers that nobody can speak for: they may use any replica."""

    def failures(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of the last seconds, by revision, of those that had an error."""

    def counts(self) -> dict[Key, Counts]:
        """Requests, errors and durations by revision, since the router began."""


class SnapshotSource(Protocol):
    """A never-ending sequence of tables."""

    @property
    def heard_at(self) -> float:
        """When the control plane last said something, in Unix time; 0 where none is followed."""

    def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yields each new table, or the reason why one was refused."""

    def hurry(self) -> None:
        """Look again now (SIGHUP)."""

    async def kept(self) -> None:
        """Wait until the next start would begin with the last table that was yielded.

        For some seconds at most: an upgrade does not depend on a disk.
        """

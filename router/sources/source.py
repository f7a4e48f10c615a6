"""What each source of tables offers: a Snapshot per new table, a text per refused one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from router.contract.snapshot import Snapshot
from router.sources.counted import Counts, Key


class Reporter(Protocol):
    """What a source may tell the control plane about the router."""

    def applied(self) -> tuple[str, int]:
        """Epoch and version in force in every worker."""

    def departed(self) -> dict[str, int]:
        """Requests in flight at replicas that left the table."""

    def has_orphans(self) -> bool:
        """Whether workers of a killed supervisor serve on: these may use any replica."""

    def failures(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of the last seconds, for each revision with an error."""

    def counts(self) -> dict[Key, Counts]:
        """Requests, errors and durations by revision, since the router began."""


class SnapshotSource(Protocol):
    """A source that yields tables without end."""

    @property
    def heard_at(self) -> float:
        """Unix time of the control plane's last answer; 0 for sources without one."""

    def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yields each new table, or the reason why one was refused."""

    def hurry(self) -> None:
        """Look again now, as SIGHUP asks."""

    async def kept(self) -> None:
        """Wait until the next start would begin with the last table that was yielded.

        It waits a few seconds at most, so that an upgrade does not depend on a disk.
        """

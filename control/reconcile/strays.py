"""What runs with our marks and no record knows: of a crash between two writes, or of a restore.

A router may have it in a table of the run before, so it ends as a replica that drains does.
"""

from __future__ import annotations

from collections.abc import Iterator

from control.model.kinds import NO_REVISION, ReplicaName, app_in
from control.model.resources import Replica
from control.reconcile.planner import CanStop


class Strays:
    """The strays that were found and have not ended."""

    def __init__(self, drain_timeout_s: float, can_stop: CanStop) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._can_stop = can_stop
        self._found: dict[str, tuple[Replica, float]] = {}  # and since when, steady

    def __contains__(self, name: ReplicaName) -> bool:
        return name in self._found

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: ReplicaName, runtime: str, now: float) -> None:
        """Note a stray; the wait for routers counts from the first time that it is found."""
        stray = Replica(name, app_in(name), NO_REVISION, created_at=0.0, runtime=runtime)
        self._found.setdefault(name, (stray, now))

    def remove(self, name: ReplicaName) -> None:
        """Forget a stray that has ended."""
        self._found.pop(name, None)

    def due(self, now: float) -> Iterator[Replica]:
        """The strays that no router uses any more."""
        for stray, since in list(self._found.values()):
            if self._can_stop(stray.name, now >= since + self._drain_timeout_s):
                yield stray

"""What a worker has learned of a replica; it outlives the table that named the replica.

Config says where a replica is; load, idle connections and failures are learned and must survive
a table swap, keyed by the replica itself so that two tables never share or lose them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.upstream.http1 import UpstreamConnection

# A replica that refuses a connection is passed over for this long, doubling to the cap: short
# enough that a restarting replica is back within a second, long enough not to hammer it.
_FIRST_DOWN_S = 0.25
_MAX_DOWN_S = 8.0


class Replica:
    """One replica as one worker sees it.

    Invariant: `in_flight` counts the exchanges that hold a connection to it or wait for one.
    """

    __slots__ = (
        "connections",
        "departed",
        "down_until",
        "failures",
        "host",
        "id",
        "idle",
        "in_flight",
        "port",
    )

    def __init__(self, replica: str, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.id = replica
        self.host = host.strip("[]")
        self.port = int(port)
        self.in_flight = 0
        self.connections = 0  # open ones, idle or not
        self.idle: list[UpstreamConnection] = []  # newest last: it is reused first
        self.down_until = 0.0
        self.failures = 0
        self.departed = False

    def __repr__(self) -> str:
        state = "departed" if self.departed else f"failures={self.failures}"
        return f"<Replica {self.id} {state} in_flight={self.in_flight} idle={len(self.idle)}>"

    def failed(self, now: float) -> None:
        """A connection could not be made, or broke before an answer."""
        self.down_until = now + min(_FIRST_DOWN_S * 2**self.failures, _MAX_DOWN_S)
        self.failures = min(self.failures + 1, 16)

    def answered(self) -> None:
        """It answered: whatever it did before is forgiven."""
        if self.failures:
            self.failures = 0
            self.down_until = 0.0

    def take_idle(self, since: float) -> UpstreamConnection | None:
        """The newest idle connection, which is the least likely to be closed by the replica.

        None when it was last used before `since`; the ones behind it are older still.
        """
        if self.idle and self.idle[-1].idle_since >= since:
            return self.idle.pop()
        return None

    def depart(self) -> None:
        """It left the table: finish what runs, keep nothing for later."""
        self.departed = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()


class ReplicaRegistry:
    """Every replica this worker knows, by revision and replica id and address."""

    __slots__ = ("_replicas",)

    def __init__(self) -> None:
        self._replicas: dict[tuple[str, str, str], Replica] = {}

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas.values())

    def get(self, revision: str, replica: str, address: str) -> Replica:
        """The learned state of a replica; one that departed and came back is as new."""
        key = (revision, replica, address)
        known = self._replicas.get(key)
        if known is None:
            known = self._replicas[key] = Replica(replica, address)
        known.departed = False
        return known

    def connections(self) -> dict[str, tuple[int, int]]:
        """Open connections by revision, `(active, idle)`; revisions without any are left out."""
        found: dict[str, tuple[int, int]] = {}
        for (revision, _, _), replica in self._replicas.items():
            if replica.connections:
                active, idle = found.get(revision, (0, 0))
                n = len(replica.idle)
                found[revision] = (active + replica.connections - n, idle + n)
        return found

    def departed(self) -> dict[str, int]:
        """Requests in flight by replica id, for those that left the table and are not idle yet."""
        return {r.id: r.in_flight for r in self if r.departed and r.in_flight}

    def forget_departed(self) -> None:
        """Drop what left the table and has nothing in flight any more."""
        gone = [k for k, r in self._replicas.items() if r.departed and not r.in_flight]
        for key in gone:
            del self._replicas[key]

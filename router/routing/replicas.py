"""What a worker has learned of a replica; it outlives the table that named the replica.

Where a replica is comes from the table. Load, idle connections and failures are learned and must
survive a change of tables, so they are kept by replica: two tables never share or lose them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from random import random
from typing import TYPE_CHECKING, Final, Protocol

from router.contract.outcomes import Outcome
from router.http.seams import UpstreamSide

if TYPE_CHECKING:
    import asyncio

# How long a failing replica is passed over, doubling to the cap: short enough that a restarted
# replica is back within a second, long enough not to hammer one that stays broken.
_FIRST_EJECTION_S: Final = 0.25
_LONGEST_EJECTION_S: Final = 30.0
_MOST_DOUBLINGS: Final = 7
_FIRST_SHARE: Final = 0.1  # the part of its turns that a returning replica takes at first


class Waiting(Protocol):
    """An exchange that has asked for a connection to a replica."""

    def connected(self, connection: UpstreamSide) -> None:
        """The connection is open; the exchange may be over by now."""

    def connect_failed(self, outcome: Outcome) -> None:
        """The connection could not be opened; `outcome` is the answer if no retry is left."""

    def replica_left(self) -> None:
        """The replica left the table: another process may be listening at its address by now."""


class Queued(Protocol):
    """A request that waits for room at a replica."""

    def admitted(self, replica: Replica) -> None:
        """Called when the replica has room for the request, or has left the table."""


class Replica:
    """One replica as one worker sees it.

    Invariants: `in_flight` counts the exchanges that hold or await a connection to it;
    `ejected_until <= settled_at`, and between the two it takes a growing share of its turns.
    """

    __slots__ = (
        "connecting",
        "connections",
        "departed",
        "ejected_until",
        "failures",
        "faults",
        "host",
        "id",
        "idle",
        "in_flight",
        "key",
        "limit",
        "port",
        "queue",
        "settled_at",
        "tunnels",
    )

    def __init__(
        self, replica: str, address: str, queue: deque[Queued] | None = None, limit: int = 1024
    ) -> None:
        host, _, port = address.rpartition(":")
        self.id = replica
        self.host = host.strip("[]")
        self.port = int(port)
        self.in_flight = 0
        # the most `in_flight`; raised for tunnels, which have a limit of their own
        self.limit = limit
        self.tunnels = 0
        self.connecting: dict[asyncio.Task[None], Waiting] = {}  # connections being opened
        self.connections = 0  # open connections, idle or not
        self.idle: list[UpstreamSide] = []  # newest last, which is reused first
        self.ejected_until = 0.0
        self.settled_at = 0.0
        self.failures = 0  # ejections since the last answer
        self.faults = 0  # answers of 502, 503 and 504 in a row
        self.departed = False
        self.key = ("", replica, address)  # the registry's key
        # Requests that found no replica of the revision with room; its replicas share the queue.
        self.queue: deque[Queued] = deque() if queue is None else queue

    @property
    def app(self) -> str:
        return self.key[0].partition("--")[0]

    def __repr__(self) -> str:
        state = "departed" if self.departed else f"failures={self.failures}"
        return f"<Replica {self.id} {state} in_flight={self.in_flight} idle={len(self.idle)}>"

    def eject(self, now: float, slow_start_s: float) -> None:
        """Pass the replica over for a while, longer each time.

        Afterwards its share grows slowly.
        """
        doublings = min(self.failures, _MOST_DOUBLINGS)
        self.ejected_until = now + min(_FIRST_EJECTION_S * 2**doublings, _LONGEST_EJECTION_S)
        self.settled_at = self.ejected_until + slow_start_s
        self.failures += 1
        self.faults = 0

    def takes(self, now: float) -> bool:
        """Whether it takes this request: never while ejected, then with growing probability."""
        if now < self.ejected_until:
            return False
        span = self.settled_at - self.ejected_until
        return span <= 0 or random() < max(_FIRST_SHARE, (now - self.ejected_until) / span)

    def answered(self) -> None:
        """Called for an answer that is not a fault: the next ejection is a short one again."""
        self.failures = 0
        self.faults = 0

    def leave(self) -> None:
        """Called when an exchange ends; its slot goes to the next queued request."""
        self.in_flight -= 1
        if self.queue:
            self.admit_next()

    def admit_next(self) -> None:
        """Give free slots to queued requests, each asked once: some cannot use this replica."""
        for _ in range(len(self.queue)):
            if self.in_flight >= self.limit:
                return
            self.queue.popleft().admitted(self)

    def tunnel_began(self) -> None:
        """Called when a request became a tunnel: it counts as load but not against the limit."""
        self.tunnels += 1
        self.limit += 1
        if self.queue:
            self.admit_next()

    def tunnel_ended(self) -> None:
        """Called when a tunnel ends, before `leave`, which must not give its slot to the queue."""
        self.tunnels -= 1
        self.limit -= 1

    def take_idle(self, since: float) -> UpstreamSide | None:
        """The newest idle connection, which the replica is the least likely to have closed.

        None if it was last used before `since`: all others are older.
        """
        if self.idle and self.idle[-1].idle_since >= since:
            return self.idle.pop()
        return None

    def depart(self) -> None:
        """Called when the replica leaves the table: it finishes its requests and keeps no
        connection.
        """
        self.departed = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()
        for _ in range(len(self.queue)):  # queued requests are routed again, by the new table
            self.queue.popleft().admitted(self)
        for waiting in list(self.connecting.values()):
            waiting.replica_left()


class ReplicaRegistry:
    """Every replica that this worker knows, by revision, replica id and address."""

    __slots__ = ("_left", "_limit", "_queues", "_replicas", "_revisions")

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit  # the most requests in flight at one replica
        self._replicas: dict[tuple[str, str, str], Replica] = {}
        self._queues: dict[str, deque[Queued]] = {}
        # out of the table, but still with requests in flight
        self._left: dict[Replica, tuple[str, str, str]] = {}
        self._revisions: Counter[str] = Counter()  # the number of known replicas of each revision

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas.values())

    def get(self, revision: str, replica: str, address: str) -> Replica:
        """The learned state of a replica; one that departed and came back starts afresh."""
        key = (revision, replica, address)
        known = self._replicas.get(key)
        if known is None:
            queue = self._queues.setdefault(revision, deque())
            known = self._replicas[key] = Replica(replica, address, queue, self._limit)
            self._revisions[revision] += 1
        known.departed = False
        self._left.pop(known, None)
        known.key = key
        return known

    def depart(self, replica: Replica) -> None:
        """Called when a replica leaves the table; it is forgotten once it has nothing in flight."""
        replica.depart()
        self._left[replica] = replica.key

    def connections(self) -> dict[str, tuple[int, int, int]]:
        """Connections by revision as `(active, idle, connecting)`, for revisions with any."""
        found: dict[str, tuple[int, int, int]] = {}
        for (revision, _, _), replica in self._replicas.items():
            if replica.connections or replica.connecting:
                active, idle, connecting = found.get(revision, (0, 0, 0))
                n = len(replica.idle)
                found[revision] = (
                    active + replica.connections - n,
                    idle + n,
                    connecting + len(replica.connecting),
                )
        return found

    def queued(self) -> dict[str, int]:
        """Requests that wait for room, by revision."""
        return {revision: len(queue) for revision, queue in self._queues.items() if queue}

    def departed(self) -> dict[str, int]:
        """Requests in flight by replica id, for replicas that left the table and are not idle."""
        return {r.id: r.in_flight for r in self._left if r.in_flight}

    def forget_departed(self) -> None:
        """Forget the replicas that left the table and have nothing in flight any more."""
        for replica in [r for r in self._left if not r.in_flight]:
            key = self._left.pop(replica)
            if self._replicas.pop(key, None) is None:
                continue
            revision = key[0]
            self._revisions[revision] -= 1
            if not self._revisions[revision]:
                del self._revisions[revision]
                if not self._queues[revision]:
                    del self._queues[revision]

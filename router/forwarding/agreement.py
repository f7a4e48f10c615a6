"""What a tunnel was agreed upon with, and is counted by, from the 101 to its end."""

from __future__ import annotations

from collections.abc import Callable

from router.routing.replicas import Replica
from router.routing.table import RevisionRoute


class Agreement:
    """One WebSocket, or whatever else was asked for; `ended` hears whether it had stalled."""

    __slots__ = ("_ended", "_replica", "_stats", "is_websocket")

    def __init__(
        self,
        protocol: bytes,
        replica: Replica,
        revision: RevisionRoute,
        ended: Callable[[bool], None],
    ) -> None:
        self.is_websocket = protocol.lower() == b"websocket"
        self._replica = replica
        self._stats = revision.stats
        self._ended = ended
        self._stats.tunnels += 1
        replica.tunnel_began()

    @property
    def replica_has_left(self) -> bool:
        """Whether the replica left the table, and the tunnel has to end some time."""
        return self._replica.departed

    def end(self, *, is_stalled: bool) -> None:
        """The tunnel is over."""
        self._stats.tunnels -= 1
        self._replica.tunnel_ended()
        self._ended(is_stalled)

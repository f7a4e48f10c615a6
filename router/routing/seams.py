"""The narrow seams of the router: what its parts ask of each other.

An exchange calls its client through `ClientSide`; tests give it a recorded one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

    from router.contract.outcomes import Outcome
    from router.forwarding.exchange import Exchange
    from router.routing.replicas import Replica
    from router.upstream.http1 import UpstreamConnection


class ClientSide(Protocol):
    """What an exchange asks of the connection its request came on."""

    @property
    def is_blocked(self) -> bool:
        """Whether the client reads slower than it is sent to."""

    @property
    def peer(self) -> str:
        """The client's address."""

    def write(self, pieces: list[bytes]) -> None:
        """Send bytes of the answer."""

    def answer(self, outcome: Outcome, exchange: Exchange) -> None:
        """Send an answer of the edge."""

    def finished(self, *, keeps_alive: bool) -> None:
        """The answer is complete."""

    def cut(self, *, is_framed: bool) -> None:
        """The answer cannot be completed: end so that the client sees it was cut short."""

    def hold_body(self) -> None:
        """Stop reading the request's body."""

    def resume_body(self) -> None:
        """Read on."""

    def arm(self, seconds: float) -> None:
        """Call `timed_out` unless armed again within that time."""

    def tunnel(self, exchange: Exchange, head: bytes, rest: bytes) -> None:
        """From here on the connection carries opaque bytes."""


class Deadlined(Protocol):
    """Something the sweeper looks at: late once `deadline` lies behind `Edge.now`."""

    deadline: float

    def on_deadline(self) -> None:
        """Called once when it is late; sets a new deadline or ends itself."""


class Waiting(Protocol):
    """The asker for a connection to a replica."""

    def connected(self, connection: UpstreamConnection) -> None:
        """The connection is open; the asker may be done already."""

    def connect_failed(self, outcome: Outcome) -> None:
        """The connection could not be opened; `outcome` is the answer if no retry is left."""

    def replica_left(self) -> None:
        """The replica left the table; whoever accepts now may be somebody else."""


class Queued(Protocol):
    """A request that waits for room at a replica."""

    def admitted(self, replica: Replica) -> None:
        """The replica has room for this one now."""


class AdminPort(Protocol):
    """The admin server, as far as the supervisor starts and ends it."""

    @property
    def address(self) -> str:
        """HOST:PORT as bound."""

    @property
    def listener(self) -> socket.socket:
        """Its listening socket."""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve, on a socket that was handed over if there is one."""

    async def close(self) -> None:
        """Stop serving."""

"""What an exchange and its two sides, client and replica, ask of each other.

A client connection, a replica connection and the exchange between them import this module and not
each other; tests put recorded sides in their place. These are classes with abstract methods because
compiled code calls those through a table, whereas a call through a Protocol looks the method up by
name and boxes its arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from router.contract.outcomes import Outcome
from router.http.native import mypyc_attr
from router.http.request_head import RequestHead
from router.http.response_head import ResponseHead

if TYPE_CHECKING:
    import asyncio


# Sides written in tests are not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class ClientSide(ABC):
    """What an exchange and the sweeper ask of the connection that the request came on."""

    __slots__ = ("deadline", "is_blocked")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # when the client, or what it waits for, is late
        self.is_blocked = False  # whether the client reads slower than it is sent to

    @property
    @abstractmethod
    def peer(self) -> str:
        """The client's address."""

    @abstractmethod
    def write(self, pieces: list[bytes]) -> None:
        """Send bytes of the answer."""

    @abstractmethod
    def answer(self, outcome: Outcome, head: RequestHead, *, keeps_alive: bool) -> None:
        """Send an answer that the edge made."""

    @abstractmethod
    def finished(self, *, keeps_alive: bool) -> None:
        """Called when the answer is complete."""

    @abstractmethod
    def cut(self, *, is_framed: bool) -> None:
        """Called when the answer cannot be completed: close so that the client sees it was cut
        short.
        """

    @abstractmethod
    def hold_body(self) -> None:
        """Stop reading the request's body."""

    @abstractmethod
    def resume_body(self) -> None:
        """Read the request's body again."""

    @abstractmethod
    def arm(self, seconds: float) -> None:
        """Call `timed_out` after that time, unless `arm` is called again before."""

    @abstractmethod
    def on_deadline(self) -> None:
        """Called by the sweeper once `deadline` has passed.

        Sets a new one or ends the connection.
        """

    @abstractmethod
    def tunnel(self, agreed: Agreed, upstream: UpstreamSide, wire: bytes, rest: bytes) -> None:
        """Send the head of a 101 and the bytes behind it, then carry opaque bytes both ways."""


@mypyc_attr(allow_interpreted_subclasses=True)
class UpstreamSide(ABC):
    """What an exchange asks of its connection to a replica."""

    __slots__ = ("idle_since", "is_blocked", "used")

    def __init__(self) -> None:
        self.is_blocked = False  # whether the replica reads slower than it is sent to
        self.used = 0  # requests sent on it
        self.idle_since = 0.0

    @property
    @abstractmethod
    def has_sent(self) -> bool:
        """Whether the replica may have received any part of the request."""

    @abstractmethod
    def begin(self, exchange: ExchangeSide, wire: bytes, *, is_head: bool) -> None:
        """Send a request's head, and the part of its body that has already arrived."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send more of the request's body."""

    @abstractmethod
    def hold(self) -> None:
        """Stop reading the response."""

    @abstractmethod
    def resume(self) -> None:
        """Read the response again."""

    @abstractmethod
    def release(self, now: float) -> None:
        """Called when the exchange is over and the connection is good: keep it for another."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the exchange is not called any more."""

    @abstractmethod
    def detach(self) -> asyncio.Transport:
        """Hand the transport to a tunnel; the exchange is not called any more."""


class ExchangeSide(ABC):
    """What a replica connection tells the exchange that uses it."""

    __slots__ = ()

    @abstractmethod
    def interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 101 has arrived."""

    @abstractmethod
    def response_head(self, head: ResponseHead) -> None:
        """The head of the final response has arrived."""

    @abstractmethod
    def response_body(self, pieces: list[bytes]) -> None:
        """Decoded bytes of the response's body.

        `flush` or `response_ended` follows.
        """

    @abstractmethod
    def flush(self) -> None:
        """No more of the response has arrived for now, so send what there is."""

    @abstractmethod
    def response_ended(self, trailers: Sequence[tuple[bytes, bytes]], *, is_reusable: bool) -> None:
        """The response is complete; `is_reusable` if its connection may carry another request."""

    @abstractmethod
    def switching(self, head: ResponseHead, rest: bytes) -> None:
        """A 101 has arrived: the replica now speaks another protocol, of which `rest` is the
        beginning.
        """

    @abstractmethod
    def upstream_lost(self) -> None:
        """The connection broke before the response was complete."""

    @abstractmethod
    def upstream_broken(self) -> None:
        """The replica sent something that is not HTTP/1.1; its connection has been closed."""

    @abstractmethod
    def hold_body(self) -> None:
        """The replica accepts no more of the request's body for now."""

    @abstractmethod
    def resume_body(self) -> None:
        """The replica accepts more of the request's body again."""


class Agreed(Protocol):
    """What a tunnel knows of the exchange that agreed on it."""

    @property
    def is_websocket(self) -> bool:
        """Whether the tunnel carries WebSocket frames, which can be followed."""

    @property
    def replica_has_left(self) -> bool:
        """Whether the replica has left the table, so that the tunnel must end within a while."""

    def end(self, *, is_stalled: bool) -> None:
        """Called when the tunnel is over; `is_stalled` if a side accepted nothing for too long."""

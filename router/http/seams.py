"""What the two sides of an exchange and the exchange itself ask of each other.

A connection to a client, one to a replica and the exchange between them import this and not one
another; tests put recorded sides in their place. Classes with abstract methods, because a call
through one is, once compiled, a look-up in a table of methods: through a Protocol, it is one by
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


# Tests, which are not compiled, have sides of their own.
@mypyc_attr(allow_interpreted_subclasses=True)
class ClientSide(ABC):
    """What an exchange asks of the connection its request came on, and the sweeper, too."""

    __slots__ = ("deadline", "is_blocked")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # when the client, or what it waits for, is late
        self.is_blocked = False  # the client reads slower than it is sent to

    @property
    @abstractmethod
    def peer(self) -> str:
        """The client's address."""

    @abstractmethod
    def write(self, pieces: list[bytes]) -> None:
        """Send bytes of the answer."""

    @abstractmethod
    def answer(self, outcome: Outcome, head: RequestHead, *, keeps_alive: bool) -> None:
        """Send an answer of the edge."""

    @abstractmethod
    def finished(self, *, keeps_alive: bool) -> None:
        """The answer is complete."""

    @abstractmethod
    def cut(self, *, is_framed: bool) -> None:
        """The answer cannot be completed: end so that the client sees it was cut short."""

    @abstractmethod
    def hold_body(self) -> None:
        """Stop reading the request's body."""

    @abstractmethod
    def resume_body(self) -> None:
        """Read on."""

    @abstractmethod
    def arm(self, seconds: float) -> None:
        """Call `timed_out` unless armed again within that time."""

    @abstractmethod
    def on_deadline(self) -> None:
        """Called by the sweeper when it is late; sets another deadline, or ends the connection."""

    @abstractmethod
    def tunnel(self, agreed: Agreed, upstream: UpstreamSide, wire: bytes, rest: bytes) -> None:
        """Send the head of a 101 and what came behind it; then carry opaque bytes both ways."""


@mypyc_attr(allow_interpreted_subclasses=True)
class UpstreamSide(ABC):
    """What an exchange asks of the connection to the replica."""

    __slots__ = ("idle_since", "is_blocked", "used")

    def __init__(self) -> None:
        self.is_blocked = False  # the replica reads slower than it is sent to
        self.used = 0  # requests sent on it
        self.idle_since = 0.0

    @property
    @abstractmethod
    def has_sent(self) -> bool:
        """Whether the replica may have seen anything of the request."""

    @abstractmethod
    def begin(self, exchange: ExchangeSide, wire: bytes, *, is_head: bool) -> None:
        """Send a request's head, with what is already there of its body."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send more of the request's body."""

    @abstractmethod
    def hold(self) -> None:
        """Stop reading the response."""

    @abstractmethod
    def resume(self) -> None:
        """Read on."""

    @abstractmethod
    def release(self, now: float) -> None:
        """The exchange is over and the connection good: keep it for the next."""

    @abstractmethod
    def close(self) -> None:
        """Close it; the exchange hears no more of it."""

    @abstractmethod
    def detach(self) -> asyncio.Transport:
        """Leave the transport to a tunnel; the exchange hears no more of it."""


class ExchangeSide(ABC):
    """What a connection to a replica tells the exchange that it carries."""

    __slots__ = ()

    @abstractmethod
    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer other than 101."""

    @abstractmethod
    def response_head(self, head: ResponseHead) -> None:
        """The final response begins."""

    @abstractmethod
    def response_body(self, pieces: list[bytes]) -> None:
        """Bytes of the response's body, decoded; `flush` or `response_ended` follows."""

    @abstractmethod
    def flush(self) -> None:
        """Nothing more has arrived for now."""

    @abstractmethod
    def response_ended(self, trailers: Sequence[tuple[bytes, bytes]], *, is_reusable: bool) -> None:
        """The response is complete, and whether its connection may carry another."""

    @abstractmethod
    def switching(self, head: ResponseHead, rest: bytes) -> None:
        """101: the replica speaks another protocol from here on, and `rest` already is of it."""

    @abstractmethod
    def upstream_lost(self) -> None:
        """The connection broke before the response was complete."""

    @abstractmethod
    def upstream_broken(self) -> None:
        """The replica sent what is no HTTP/1.1 response, and its connection was closed."""

    @abstractmethod
    def hold_body(self) -> None:
        """The replica takes no more of the request's body for now."""

    @abstractmethod
    def resume_body(self) -> None:
        """The replica takes more of the body again."""


class Agreed(Protocol):
    """What a tunnel was agreed upon with."""

    @property
    def is_websocket(self) -> bool:
        """Whether its frames can be followed."""

    @property
    def replica_has_left(self) -> bool:
        """Whether the replica left the table, and the tunnel has to end some time."""

    def end(self, *, is_stalled: bool) -> None:
        """The tunnel is over; `is_stalled` when a side took nothing for too long."""

"""The messages between supervisor and worker, by `type`.

An upgraded supervisor may hear a worker of older code: keys are only ever added, and keys that are
NotRequired may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

from router.routing.reports import WorkerReport
from router.tracing.tracer import Noted

# --- to a worker


class Settings(TypedDict):
    """The first message: how to route."""

    type: Literal["settings"]
    settings: dict[str, Any]


class Apps(TypedDict):
    """Some apps of the next table, compiled before the swap."""

    type: Literal["apps"]
    domain: str
    apps: Sequence[Any]  # snapshot.App when sent, its JSON when received


class Swap(TypedDict):
    """Route by the next table from now on."""

    type: Literal["swap"]
    domain: str
    version: int
    epoch: str
    dropped: list[str]


class Ask(TypedDict):
    """Report at once; the report carries the number."""

    type: Literal["stats"]
    asked: int


class Accept(TypedDict):
    """Accept on the sockets of these slots, and of no others."""

    type: Literal["accept"]
    slots: list[int]


class Drain(TypedDict):
    """Finish what is in flight, then exit."""

    type: Literal["drain"]
    idle_s: float  # how long idle connections may still bring a request
    tunnels_s: float


ToWorker = Settings | Apps | Swap | Ask | Accept | Drain

# --- from a worker


class Applied(TypedDict):
    """The worker routes by this table now."""

    type: Literal["applied"]
    version: int
    epoch: str
    departed: NotRequired[dict[str, int]]  # requests in flight at replicas that left the table


class Stats(TypedDict):
    """A worker's counters and state, sent each second and when asked."""

    type: Literal["stats"]
    asked: int | None
    stats: WorkerReport
    connections: int
    upstream: dict[str, tuple[int, int, int]]  # active, idle, connecting
    departed: dict[str, int]
    queued: dict[str, int]
    stalled: int


class Spans(TypedDict):
    """What was noted of traced requests since the last of these."""

    type: Literal["spans"]
    spans: Sequence[Noted]  # as lists, once received
    dropped: int  # that there was no room for


FromWorker = Applied | Stats | Spans

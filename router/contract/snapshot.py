"""The wire contract: what a router is told to route.

The control plane sends it as JSON; a routes file holds the same as TOML. It contains only ready
replicas. Unknown fields are ignored and new fields have defaults, so an older router understands a
newer control plane. Values are plain and frozen; `check/table.py` checks them.

A table's content hash is made of the sum of its apps' hashes, so a changed app costs one hash, and
both sides see at once whether they mean the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

_HASH_BITS = 128


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ready replica's address, as `HOST:PORT`."""

    replica: str
    address: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done on purpose to a part of a revision's requests, until a moment in Unix time.

    With `seconds`, the moment only identifies the fault: it acts for so long from when a worker
    hears of it, or until it is removed. Percentages are of all requests; an abort is decided before
    a delay.
    """

    until: float
    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 503
    abort_percent: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Revision:
    """An active revision: its weight on the app's host, its labels, its ready replicas."""

    name: str
    weight: int = 0
    labels: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class App:
    """One app: `hosts` are its custom domains, with `*.example.com` for a wildcard.

    Unless it is `external`, only clients in `internal_networks` reach it.
    """

    name: str
    mode: str = "single"
    hosts: tuple[str, ...] = ()
    revisions: tuple[Revision, ...] = ()
    external: bool = True


@dataclass(frozen=True, slots=True)
class Delta:
    """What differs from the table of the given epoch and version."""

    epoch: str
    version: int
    changed: tuple[App, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole table. `version` rises within an `epoch`, which is one run of a control plane."""

    domain: str = "localhost"
    apps: tuple[App, ...] = ()
    version: int = 0
    epoch: str = ""
    problems: tuple[str, ...] = ()  # contradictions that discovery settled by its rules
    # the reason why an app's newest version was refused, by app
    refused: Mapping[str, str] = field(default_factory=dict)
    # for a router that has the table before; without it, all is compared
    delta: Delta | None = None


def digest(body: bytes) -> int:
    """The hash of one app's JSON, or of the domain; a table's hash is made of the sum of these."""
    return int.from_bytes(blake2b(body, digest_size=_HASH_BITS // 8).digest())


def content_hash(total: int) -> str:
    """A table's hash in its written form, from the sum over its domain and apps."""
    return f"{total % (1 << _HASH_BITS):032x}"


def app_from(wire: dict[str, Any]) -> App:
    """An App from decoded JSON that is trusted (the channel): its rules are not checked."""
    return App(
        name=wire["name"],
        mode=wire.get("mode", "single"),
        hosts=tuple(wire.get("hosts", ())),
        external=wire.get("external", True),
        revisions=tuple(
            Revision(
                name=r["name"],
                weight=r.get("weight", 0),
                labels=tuple(r.get("labels", ())),
                endpoints=tuple(
                    Endpoint(e["replica"], e["address"]) for e in r.get("endpoints", ())
                ),
                fault=Fault(**r["fault"]) if r.get("fault") else None,
            )
            for r in wire.get("revisions", ())
        ),
    )

"""The wire contract: what a router is told to route.

The control plane sends it as JSON, a routes file holds the same as TOML. Only replicas that are
ready are in it. Unknown fields are ignored and new ones have defaults, so an older router
understands a newer control plane. Values are plain and frozen; `validate.py` checks them.

A table has a content hash: the sum of the hashes of its apps' JSON, so one changed app costs one
hash, and both sides see at once whether they mean the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

_HASH_BITS = 128


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one ready replica listens: `address` is `HOST:PORT`."""

    replica: str
    address: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a part of a revision's requests on purpose, until a moment of Unix time.

    With `seconds` the moment only names it: it acts for so long from when a worker hears of it,
    or until it is taken away. Percentages are of the requests; an abort comes before a delay.
    """

    until: float
    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 503
    abort_percent: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Revision:
    """One active revision: its weight on the app's host, its labels, its ready replicas."""

    name: str
    weight: int = 0
    labels: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class App:
    """One app: `hosts` are its custom domains, `*.example.com` for a wildcard.

    Unless it is `external`, only clients of the setting `internal_networks` reach it.
    """

    name: str
    mode: str = "single"
    hosts: tuple[str, ...] = ()
    revisions: tuple[Revision, ...] = ()
    external: bool = True


@dataclass(frozen=True, slots=True)
class Delta:
    """What differs from the table of an epoch and version."""

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
    problems: tuple[str, ...] = ()  # contradictions that discovery settled by its rule
    refused: Mapping[str, str] = field(default_factory=dict)  # app to why its newest version was
    delta: Delta | None = None  # for who has the table before; without it, all is compared


def digest(body: bytes) -> int:
    """The hash of one app's JSON, or of the domain; a table's hash is made of their sum."""
    return int.from_bytes(blake2b(body, digest_size=_HASH_BITS // 8).digest())


def content_hash(total: int) -> str:
    """A table's hash as it is written, from the sum over its domain and apps."""
    return f"{total % (1 << _HASH_BITS):032x}"


def app_from(wire: dict[str, Any]) -> App:
    """An App from its decoded JSON. For trusted bytes (the channel): no rule is checked."""
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

"""The wire contract: what a router is told to route (product.md §4).

The control plane sends it as JSON, a routes file holds the same as TOML. Only replicas that are
ready are in it. Unknown fields are ignored and new ones have defaults, so an older router
understands a newer control plane. Values are plain and frozen; `validate.py` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one ready replica listens: `address` is `HOST:PORT`."""

    replica: str
    address: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a part of a revision's requests on purpose, until a moment of Unix time.

    Percentages are of its requests; an abort comes before a delay.
    """

    until: float
    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 503
    abort_percent: float = 0.0


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
class Snapshot:
    """The whole table. `version` rises within an `epoch`; another epoch is another store."""

    domain: str = "localhost"
    apps: tuple[App, ...] = ()
    version: int = 0
    epoch: str = ""
    problems: tuple[str, ...] = ()  # contradictions that discovery settled by its rule


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

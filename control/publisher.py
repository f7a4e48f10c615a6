"""The table in force, who waits for the next one, and who has applied which.

The version rises only when the table changes, and is recorded before anybody sees it. A router
counts as long as it is connected; its lease begins when it is not, and when that ends nothing is
waited for on its behalf any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson

from control.compiler import compile_app
from control.resources import AppView
from control.store import Store
from router import snapshot

_VERSION = "table_version"
_ROUTERS = "routers"


@dataclass(slots=True)
class Router:
    """What a router said last."""

    applied: int = 0  # version, of our epoch
    in_flight: dict[str, int] = field(default_factory=dict)  # by departed replica
    seen_at: float = 0.0  # loop-independent, monotonic seconds
    is_connected: Callable[[], bool] = lambda: False

    def is_known_since(self, moment: float) -> bool:
        """Whether it is there, or was after that moment."""
        if self.is_connected():
            self.seen_at = time.monotonic()
        return self.seen_at >= moment


class Publisher:
    """Holds the compiled table and tells routers of it."""

    def __init__(self, store: Store, domain: str, *, lease_s: float) -> None:
        self._store = store
        self._domain = domain
        self._lease_s = lease_s
        self._apps: dict[str, snapshot.App] = {}
        self._version = int(store.meta(_VERSION) or 0)
        self._body = b""
        self._changed = asyncio.Event()
        self._left_in: dict[str, int] = {}  # replica -> version that is the first without it
        # Routers known before a restart hold a table we must not pull replicas out of.
        known = orjson.loads(store.meta(_ROUTERS) or "[]")
        self._routers = {name: Router(seen_at=time.monotonic()) for name in known}

    @property
    def version(self) -> int:
        """The version in force."""
        return self._version

    @property
    def routers(self) -> dict[str, Router]:
        """The routers that are connected, or whose lease runs."""
        since = time.monotonic() - self._lease_s
        return {name: r for name, r in self._routers.items() if r.is_known_since(since)}

    def snapshot(self) -> bytes:
        """The table in force, as JSON."""
        return self._body

    # --- the control plane's side

    def publish(self, changed: Iterable[tuple[str, AppView]]) -> bool:
        """Compile the apps that changed; a new version if the table did. True then."""
        apps = dict(self._apps)
        for name, view in changed:
            compiled = compile_app(view)
            if compiled is None:
                apps.pop(name, None)
            else:
                apps[name] = compiled
        if apps == self._apps and self._body:  # the first table is published though it be empty
            return False
        gone = _replicas(self._apps) - _replicas(apps)
        self._apps = apps
        self._version += 1
        self._store.put_meta(_VERSION, str(self._version))
        self._left_in.update(dict.fromkeys(gone, self._version))
        for name in _replicas(apps):
            self._left_in.pop(name, None)
        table = snapshot.Snapshot(
            domain=self._domain,
            apps=tuple(apps[name] for name in sorted(apps)),
            version=self._version,
            epoch=self._store.epoch,
        )
        self._body = orjson.dumps(table)
        changed_event, self._changed = self._changed, asyncio.Event()
        changed_event.set()
        return True

    def can_stop(self, replica: str) -> bool:
        """Whether no router sends requests to a replica, nor waits for an answer of it."""
        if any(replica == e.replica for a in self._apps.values() for e in _endpoints(a)):
            return False
        left_in = self._left_in.get(replica, 0)
        return all(
            r.applied >= left_in and not r.in_flight.get(replica) for r in self.routers.values()
        )

    def forget(self, replica: str) -> None:
        """The replica has ended."""
        self._left_in.pop(replica, None)

    # --- the routers' side

    def hear(
        self,
        name: str,
        epoch: str,
        applied: int,
        in_flight: dict[str, int],
        is_connected: Callable[[], bool] = lambda: False,
    ) -> None:
        """A router's report: the full truth each time, so losing one is harmless."""
        known = set(self._routers)
        self._routers = self.routers
        applied = applied if epoch == self._store.epoch else 0
        self._routers[name] = Router(applied, in_flight, time.monotonic(), is_connected)
        if set(self._routers) != known:
            self._store.put_meta(_ROUTERS, orjson.dumps(sorted(self._routers)).decode())

    async def newer_than(self, epoch: str, version: int, wait_s: float) -> bytes | None:
        """The table, once it is another than the router has; None when it stays the same."""
        ends_at = time.monotonic() + wait_s
        while not self._body or (epoch, version) == (self._store.epoch, self._version):
            left = ends_at - time.monotonic()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return self._body


def _endpoints(app: snapshot.App) -> list[snapshot.Endpoint]:
    return [e for revision in app.revisions for e in revision.endpoints]


def _replicas(apps: dict[str, snapshot.App]) -> set[str]:
    return {e.replica for app in apps.values() for e in _endpoints(app)}

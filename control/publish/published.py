"""The table in force as routers get it: whole, or what changed since the one they have.

Each app is compiled to bytes once per change; a delta is a look into a bounded log. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import orjson

from router.contract.snapshot import App, content_hash, digest

_KEPT_NAMES = 10_000  # of changed apps in the log; a router further behind gets the whole table


class Known(TypedDict):
    """The table that a router has, by name; without a hash it takes whole tables only."""

    epoch: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One version: the table's hash at that version, and the apps that it changed."""

    hash: str
    names: tuple[str, ...]


class Published:
    """A table, its content hash and version, and the changes of recent versions."""

    def __init__(self, domain: str, epoch: str, version: int) -> None:
        self.epoch = epoch
        self.version = version
        self._domain = domain
        self._bodies: dict[str, bytes] = {}
        self._total = digest(domain.encode())
        self._log: deque[_Step] = deque()  # ends with the step of `version`
        self._names_kept = 0
        self._whole = b""  # made on demand

    @property
    def hash(self) -> str:
        """The content hash: equal for two tables with the same apps, whatever their versions."""
        return content_hash(self._total)

    def change(self, changed: Mapping[str, App | None]) -> None:
        """Begin the next version; an app that is gone is None."""
        for name, app in changed.items():
            old = self._bodies.pop(name, None)
            if old is not None:
                self._total -= digest(old)
            if app is not None:
                body = self._bodies[name] = orjson.dumps(app)
                self._total += digest(body)
        self.version += 1
        self._whole = b""
        self._log.append(_Step(self.hash, tuple(changed)))
        self._names_kept += len(changed)
        while self._names_kept > _KEPT_NAMES and len(self._log) > 1:
            self._names_kept -= len(self._log.popleft().names)

    def body(self, app: str) -> bytes | None:
        """One app's bytes as routers get them."""
        return self._bodies.get(app)

    def whole(self) -> bytes:
        """The whole table as JSON."""
        if not self._whole:
            head = {"domain": self._domain, **self._named()}
            apps = b",".join(self._bodies[name] for name in sorted(self._bodies))
            self._whole = orjson.dumps(head)[:-1] + b',"apps":[' + apps + b"]}"
        return self._whole

    def since(self, known: Known) -> bytes:
        """What leads from the table that a router has to this one; the whole if nothing does."""
        names = self._changed_since(known)
        if names is None:
            return self.whole()
        changed = [self._bodies[name] for name in names if name in self._bodies]
        dropped = [name for name in names if name not in self._bodies]
        head = {**self._named(), "base": known, "dropped": dropped}
        return orjson.dumps(head)[:-1] + b',"changed":[' + b",".join(changed) + b"]}"

    def _named(self) -> Known:
        return {"epoch": self.epoch, "version": self.version, "hash": self.hash}

    def _changed_since(self, known: Known) -> list[str] | None:
        """The apps that differ from a table a router has; None when that cannot be told."""
        if known["hash"] == self.hash:  # the same apps, of another version or before a restart
            return []
        behind = self.version - known["version"]
        if known["epoch"] != self.epoch or not 0 < behind < len(self._log):
            return None
        if self._log[-1 - behind].hash != known["hash"]:
            return None
        steps = (self._log[at] for at in range(-behind, 0))
        return sorted({name for step in steps for name in step.names})

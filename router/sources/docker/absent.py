"""Keeps the hosts of apps whose last container went known for a while.

Recreating a container ends the old one first. Meanwhile clients get "no replica is ready", after
which they try again; "no such host" they would believe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from router.contract.snapshot import App


class Absent:
    """Remembers apps for `keep_s` seconds after they were last found."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._known: dict[str, App] = {}
        self._until: dict[str, float] = {}  # when each absent app is forgotten

    def beside(self, found: Iterable[App], now: float) -> tuple[App, ...]:
        """The apps that were found, plus those found until recently, which have no replica."""
        present = {app.name: app for app in found}
        for name in self._known.keys() - present.keys():
            if now >= self._until.setdefault(name, now + self._keep_s):
                del self._known[name], self._until[name]
        for name in self._until.keys() & present.keys():
            del self._until[name]
        self._known |= present
        taken = {host for app in present.values() for host in app.hosts}
        absent = []
        for name in sorted(self._until, key=self._until.__getitem__, reverse=True):
            app = _without_replicas(self._known[name], taken)
            taken |= set(app.hosts)
            absent.append(app)
        return tuple(sorted((*present.values(), *absent), key=lambda app: app.name))

    def next_end(self, now: float) -> float:
        """Seconds until the next absent app is forgotten."""
        return max(0.0, min(self._until.values(), default=float("inf")) - now)


def _without_replicas(app: App, taken: set[str]) -> App:
    revisions = tuple(replace(revision, endpoints=()) for revision in app.revisions)
    return replace(app, hosts=tuple(h for h in app.hosts if h not in taken), revisions=revisions)

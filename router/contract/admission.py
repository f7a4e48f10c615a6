"""Which version of each app is routed: the newest that passes its check.

A bad app harms no other: its newest version is refused, its last good version stays, and every
other app is taken. The control plane admits apps before it publishes them, the router before it
routes. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from router.contract.domains import Owners
from router.contract.snapshot import App

News = App | str | None  # a checked app, the reason for which it was refused, or None if it is gone


class Admission:
    """The routed apps, the refused apps with their reasons, and the owner of each host."""

    __slots__ = ("_owners", "_waiting", "apps", "refused")

    def __init__(self) -> None:
        self.apps: dict[str, App] = {}
        self.refused: dict[str, str] = {}
        # good apps that wait for a host which another app still has
        self._waiting: dict[str, App] = {}
        self._owners = Owners()

    def admit(self, news: Mapping[str, News]) -> dict[str, App | None]:
        """Take the changed apps; returns what is routed differently now, None for apps that are
        gone.

        An app keeps its host until it gives it up. An app that asks for a host of another app is
        refused, and tried again at each later change.
        """
        wanted: dict[str, App | None] = dict(self._waiting)
        for name, found in news.items():
            self.refused.pop(name, None)
            wanted.pop(name, None)
            self._waiting.pop(name, None)
            if isinstance(found, str):
                self.refused[name] = found
            else:
                wanted[name] = found
        changed = dict(self._give_up(wanted))
        changed.update(self._take(wanted))
        return changed

    def keep(self, app: App) -> bool:
        """Route the last good version of a refused app; returns whether it is routed now."""
        if app.name in self.apps or self._owners.conflict(app.name, app.hosts):
            return False
        self._owners.claim(app.name, app.hosts)
        self.apps[app.name] = app
        return True

    def _give_up(self, wanted: Mapping[str, App | None]) -> Iterator[tuple[str, App | None]]:
        """Yield the apps that go, and the apps whose new version gives up a host."""
        for name, app in wanted.items():
            old = self.apps.get(name)
            if old is None:
                continue
            if app is None:
                del self.apps[name]
                self._owners.release(name, old.hosts)
                yield name, None
            elif gone := set(old.hosts) - set(app.hosts):
                self._owners.release(name, gone, keeps_name=True)
                kept = tuple(host for host in old.hosts if host not in gone)
                self.apps[name] = dataclasses.replace(old, hosts=kept)
                yield name, self.apps[name]

    def _take(self, wanted: Mapping[str, App | None]) -> Iterator[tuple[str, App | None]]:
        for name, app in sorted(wanted.items()):
            if app is None:
                continue
            rival = self._owners.conflict(name, app.hosts)
            if rival:
                self.refused[name] = rival
                self._waiting[name] = app
                continue
            self.refused.pop(name, None)
            self._waiting.pop(name, None)
            if self.apps.get(name) != app:
                self._owners.claim(name, app.hosts)
                self.apps[name] = app
                yield name, app

"""Apps that have a problem on our side: each is served as it was while everything else goes on.

Three things put an app here: an unreadable record, a plan that fails, and a compiled app that
routers would refuse. The app leaves by itself when the cause is gone.
"""

from __future__ import annotations

import logging

from control.model.kinds import AppName
from control.publish.publisher import Publisher
from control.store import Store

log = logging.getLogger("turnout.control")


class Quarantine:
    """The quarantined apps, with the reasons."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher
        self._unplanned: dict[AppName, str] = {}

    def failed(self, app: AppName, error: Exception) -> None:
        """Planning this app has failed."""
        why = f"its plan fails: {error!r}"
        if self._unplanned.get(app) != why:
            log.error("event=quarantined app=%s reason=%r", app, why, exc_info=error)
        self._unplanned[app] = why

    def planned(self, app: AppName) -> None:
        """Planning this app has succeeded."""
        if self._unplanned.pop(app, None) is not None:
            log.info("event=quarantine_ended app=%s", app)

    def all(self) -> dict[AppName, str]:
        """Every quarantined app, with the reason."""
        unreadable = {name: found.why for name, found in self._store.unreadable.items()}
        refused = {AppName(name): why for name, why in self._publisher.refused.items()}
        return {**refused, **self._unplanned, **unreadable}

    def why(self, app: AppName) -> str:
        """Why an app is quarantined; empty when it is not."""
        return self._unplanned.get(app) or self._publisher.refused.get(app, "")

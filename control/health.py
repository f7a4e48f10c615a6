"""What is wrong with the control plane and its routers, in sentences, for /healthz and /readyz."""

from __future__ import annotations

import time

from control.publisher import Publisher
from control.quarantine import Quarantine
from control.store import Store

_BEHIND_S = 5.0  # a router that lacks the table for this long is behind; most need milliseconds


class Health:
    """Asks the parts; nothing is kept."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        quarantine: Quarantine,
        behind_s: float = _BEHIND_S,
    ) -> None:
        self._store = store
        self._behind_s = behind_s
        self.publisher = publisher
        self.quarantine = quarantine

    def failures(self) -> list[str]:
        """What keeps the control plane from doing what it is asked: it is not ready then."""
        found = [] if self.publisher.is_published else ["no table yet"]
        if self._store.trouble:
            found.append(self._store.trouble)
        now = time.monotonic()
        for name, behind_since in self.publisher.behind().items():
            if now - behind_since >= self._behind_s:
                found.append(f"router {name} has not applied the table in force")
        return found

    def notes(self) -> list[str]:
        """What is wrong with single apps; everybody else is served."""
        found = [f"app {n} is quarantined: {why}" for n, why in self.quarantine.all().items()]
        for name, router in self.publisher.routers.items():
            found += [f"router {name} refuses app {n}: {w}" for n, w in router.refused.items()]
        return found

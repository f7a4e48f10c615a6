"""What is wrong with the control plane and its routers, in sentences, for /healthz and /readyz."""

from __future__ import annotations

import time

from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store

_BEHIND_S = 5.0  # a router that lacks the table for longer is behind; most need milliseconds
_MOST_LINES = 20  # of each kind: anybody may ask without a token, and there may be many routers


class Health:
    """Asks the parts of the control plane each time; keeps nothing."""

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
        """What keeps the control plane from doing its work: while there is any, it is not ready."""
        found = [] if self.publisher.is_published else ["no table yet"]
        if self._store.trouble:
            found.append(self._store.trouble)
        now = time.monotonic()
        behind = [
            f"router {name} has not applied the table in force"
            for name, behind_since in self.publisher.behind().items()
            if now - behind_since >= self._behind_s
        ]
        return found + _first(behind)

    def notes(self) -> list[str]:
        """What is wrong with single apps or routers, while all others are served."""
        found = [f"app {n} is quarantined: {why}" for n, why in self.quarantine.all().items()]
        refusing = [(n, r) for n, r in self.publisher.routers.items() if r.refused]
        for name, router in refusing[:_MOST_LINES]:
            found += [f"router {name} refuses app {n}: {w}" for n, w in router.refused.items()]
            if router.refused_more:
                found.append(f"router {name} refuses {router.refused_more} apps more")
        if len(refusing) > _MOST_LINES:
            found.append(f"and {len(refusing) - _MOST_LINES} routers more refuse apps")
        return found


def _first(lines: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"and {more} routers more"] if more > 0 else lines

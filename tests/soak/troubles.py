"""What befalls the control plane, its disk and its routers in a soak; each ends mended."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.soak.changes import Api, an_app
from tests.soak.plane import Plane
from tests.support.turnout import template, until

_HELD_S = (1.0, 4.0)  # a full disk, a locked database
_AWAY_S = 1.0  # control, at most, beside what its start takes
_DAMAGE = (
    "UPDATE apps SET doc = x'ff00' WHERE name = 'poisoned'",
    "UPDATE apps SET doc = json_set(CAST(doc AS TEXT), '$.configuration', 5)"
    " WHERE name = 'poisoned'",
    "UPDATE apps SET doc = json_set(CAST(doc AS TEXT), '$.faults',"
    """ json('{"poisoned--v1": {"until": "tomorrow"}}')) WHERE name = 'poisoned'""",
    "UPDATE revisions SET doc = '{}' WHERE app = 'poisoned'",
)
_GET = {"path": "/", "port": 80}
_PROBES = [
    {"type": "Startup", "httpGet": _GET, "periodSeconds": 1, "failureThreshold": 5},
    {"type": "Readiness", "httpGet": _GET, "periodSeconds": 1},
]


def served_at(image: str) -> dict[str, Any]:
    """The template of an app that runs already."""
    return {"revisionSuffix": "v1", "containers": [{"image": image, "probes": _PROBES}]}


class Troubles:
    """Each once, in an order of chance, and again."""

    def __init__(self, plane: Plane, api: Api, endless: str, seed: int) -> None:
        self._plane, self._api, self._endless = plane, api, endless
        self._chance = random.Random(seed)
        self._bag: list[Callable[[], None]] = []
        self.done: Counter[str] = Counter()
        self.lost: dict[str, str] = {}
        self.errors: list[str] = []

    def one(self) -> None:
        """The next."""
        if not self._bag:
            self._bag = [
                self._clean_restart, self._kill, self._kill, self._full_disk,
                self._full_disk_and_kill, self._lock, self._lock_and_kill, self._poison,
                self._end_router, self._kill_router, self._kill_supervisor,
                self._endless_probes, self._slow_names,
            ]  # fmt: skip
            self._chance.shuffle(self._bag)
        trouble = self._bag.pop()
        self.done[trouble.__name__.strip("_").replace("_", " ")] += 1
        trouble()

    # --- control

    def _restart(self, sig: signal.Signals, meanwhile: Callable[[], None] = lambda: None) -> None:
        code = self._plane.end(sig)
        if sig == signal.SIGTERM and code:
            self.errors.append(f"control ended with {code}")
        time.sleep(self._chance.uniform(0, _AWAY_S))
        meanwhile()
        self._plane.start()
        self._check()

    def _check(self) -> None:
        for note, what in self._api.lost().items():
            self.lost.setdefault(note, f"{what}, seen after {sum(self.done.values())} troubles")

    def _clean_restart(self) -> None:
        self._restart(signal.SIGTERM)

    def _kill(self) -> None:
        self._restart(signal.SIGKILL)

    def _full_disk(self) -> None:
        with self._plane.full():
            time.sleep(self._chance.uniform(*_HELD_S))
        self._writable()

    def _full_disk_and_kill(self) -> None:
        with self._plane.full():
            self._restart(signal.SIGKILL)
            time.sleep(self._chance.uniform(*_HELD_S))
        self._writable()

    def _lock(self) -> None:
        with self._plane.locked():
            time.sleep(self._chance.uniform(*_HELD_S))
        self._writable()

    def _lock_and_kill(self) -> None:
        with self._plane.locked():
            time.sleep(self._chance.uniform(*_HELD_S))
            self._plane.end(signal.SIGKILL)
        self._plane.start()
        self._check()

    def _writable(self) -> None:
        until(lambda: self._api.get("/readyz"))
        self._check()

    # --- apps

    def _poison(self) -> None:
        self._new("poisoned", an_app("single", template("v1")))
        damage = self._chance.choice(_DAMAGE)

        def spoil() -> None:
            with contextlib.closing(self._plane.database()) as db:
                assert db.execute(damage).rowcount, damage

        self._restart(self._chance.choice([signal.SIGTERM, signal.SIGKILL]), spoil)
        quarantined = (self._api.get("/v1/apps") or {}).get("quarantined", {})
        if list(quarantined) != ["poisoned"]:
            self.errors.append(f"not quarantined after {damage}: {quarantined}")

    def _endless_probes(self) -> None:
        self._new("endless", an_app("single", served_at(f"endpoint:{self._endless}")))

    def _slow_names(self) -> None:
        names = ",".join(f"x{self._chance.random()}.slow.example:80" for _ in range(20))
        self._new("slow", an_app("single", served_at(f"endpoint:{names}")))

    def _new(self, app: str, body: Any) -> None:
        """An app instead of the one that was."""

        def is_done() -> bool:
            self._api.change("DELETE", f"/v1/apps/{app}")
            return self._api.change("PUT", f"/v1/apps/{app}", body) in (200, 201, 202)

        until(is_done)

    # --- routers

    def _end_router(self) -> None:
        self._router(signal.SIGTERM, with_workers=True)

    def _kill_router(self) -> None:
        self._router(signal.SIGKILL, with_workers=True)

    def _kill_supervisor(self) -> None:
        self._router(signal.SIGKILL, with_workers=False)

    def _router(self, sig: signal.Signals, *, with_workers: bool) -> None:
        self._plane.router_again(self._chance.randrange(2), sig, with_workers=with_workers)

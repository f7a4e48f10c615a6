"""Matching the record with what runs: after a start, and when an engine is back.

What runs and is recorded is adopted, what is recorded and does not run is started again, and what
runs with our marks and no record ends as a stray.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.model.clock import Clock, boot_id
from control.model.errors import ControlError
from control.model.kinds import app_in
from control.model.resources import Replica, ReplicaState
from control.model.states import after_start
from control.reconcile.replica_events import ReplicaEvents
from control.reconcile.strays import Strays
from control.rules import faults
from control.runtime import Runtime
from control.store import Store

_BOOT = "boot"  # key of the boot that the steady moments in the store count from
_S = ReplicaState


class Recovery:
    """Looks at what runs; `most_s` is the longest pause before a restart."""

    def __init__(
        self, store: Store, events: ReplicaEvents, strays: Strays, clock: Clock, most_s: float
    ) -> None:
        self._store = store
        self._events = events
        self._strays = strays
        self._clock = clock
        self._most_s = most_s
        self._runtimes: Mapping[str, Runtime] = {}
        self._new_boot = ""  # the present boot, until all moments in the store are of it

    def use(self, runtimes: Mapping[str, Runtime]) -> None:
        """Hand over the runtimes."""
        self._runtimes = runtimes

    def take_moments(self) -> None:
        """Translate the steady moments in the store to the clock of this boot.

        The boot is noted once all of them are written (`note_boot`); a start before that
        translates them again.
        """
        boot, now = boot_id(), self._clock.now()
        is_same_boot = boot != "" and self._store.meta(_BOOT) == boot
        most_s = self._most_s
        for name, view in self._store.every():
            try:
                taken = after_start(view, now.steady, is_same_boot=is_same_boot, most_s=most_s)
                taken = faults.after_start(taken, now, is_same_boot=is_same_boot)
                self._events.record(name, view, taken)
            except Exception as error:  # a record that is no good costs its own app only
                self._store.set_aside(name, error)
        self._new_boot = "" if is_same_boot else boot

    def note_boot(self) -> None:
        """Note the boot, once every moment is written; until that succeeds, each call tries."""
        if not self._new_boot or not self._store.is_settled:
            return
        try:
            self._store.put_meta(_BOOT, self._new_boot)
        except ControlError:
            return
        self._new_boot = ""

    async def engine_back(self, kind: str, was_away: bool) -> None:
        """Catch up with an engine that is heard again: its events of the meantime are lost."""
        await self.resync(kind)
        if was_away:
            self._events.end_pauses(kind)

    async def resync(self, kind: str) -> None:
        """Match the replicas of one runtime with what runs: adopt, start again, or end as strays.

        While it is not known what runs, replicas count as alive: their probes will tell.
        """
        alive = await self._runtimes[kind].survivors()
        recorded = {
            name: replica
            for _, view in self._store.every()
            for name, replica in view.replicas.items()
            if replica.runtime == kind
        }
        for name, survivor in (alive or {}).items():
            if app_in(name) in self._store.unreadable:
                continue  # a quarantined app is served as it was
            if name not in recorded or recorded[name].revision_uid != survivor.uid:
                self._strays.add(name, kind, self._clock.now().steady)
        for replica in recorded.values():
            if replica.state in (_S.STARTING, _S.READY, _S.UNREADY):
                found = alive.get(replica.name) if alive is not None else None
                is_alive = alive is None or (found is not None and found.is_of(replica))
                self._resume(replica, is_alive=is_alive)
                if found is not None and is_alive:  # earlier versions did not note the images
                    self._events.made_of(replica, found.images)
        for name in [name for name, survivor in (alive or {}).items() if survivor.is_paused]:
            self._events.on_pause(name, True)

    def _resume(self, replica: Replica, *, is_alive: bool) -> None:
        try:
            if not is_alive:
                self._events.lost(replica.name)
            elif not self._events.prober.watches(replica.name):
                self._events.probe(replica.app, replica.name)
        except Exception as error:
            self._store.set_aside(replica.app, error)

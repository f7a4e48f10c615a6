"""A control plane whose time, runtime and probes are the test's: nothing runs, all is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control.changes.changes import Changes
from control.changes.places import Places
from control.model.clock import Moment
from control.model.resources import Replica, ReplicaState, Revision
from control.model.schema import AppBody
from control.model.template import Template
from control.probes.defaults import Probes
from control.probes.prober import OnFailure, OnVerdict, Verdict
from control.publish.publisher import Publisher
from control.runtime import Exit, Launch, Started, StartFailed, Survivor
from control.settings import ControlSettings
from control.store import Store
from tests.control.support import ALICE, a_reconciler
from tests.support.builders import a_body


class GivenClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.moment = Moment(1000.0, 1_700_000_000.0)

    def now(self) -> Moment:
        return self.moment

    def go_on(self, seconds: float) -> None:
        self.moment = Moment(self.moment.steady + seconds, self.moment.wall + seconds)


class RecordingRuntime:
    """Notes what it is asked for; what it starts is there until it is stopped."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # what, and of which replica
        self.running: dict[str, str] = {}  # replicas, with the uid of their revision
        self.refuses: str = ""  # why nothing can be started at present

    def check(self, template: Template) -> None:
        """Whatever it is, it could be run."""

    async def start(self, launch: Launch) -> Started:
        name = launch.replica.name
        self.asked.append(("start", name))
        if self.refuses:
            raise StartFailed("ImagePullFailure", self.refuses)
        self.running[name] = launch.revision.uid
        return Started(f"127.0.0.1:{len(self.asked)}")

    async def stop(self, replica: Replica, grace_s: float) -> None:
        self.asked.append(("stop", replica.name))
        self.running.pop(replica.name, None)

    async def survivors(self) -> dict[str, Survivor] | None:
        return {name: Survivor(uid, is_running=True) for name, uid in self.running.items()}

    async def images(self, template: Template) -> dict[str, str]:
        return {}

    async def hint(self, replica: Replica) -> str:
        return ""

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        return []

    async def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        for line in await self.logs(replica, tail, container):
            yield line

    def forget(self, replica: str) -> None:
        self.asked.append(("forget", replica))

    async def close(self) -> None:
        """There is nothing that it watches."""


class RecordingProber:
    """Knows who is to be probed; what the probes say is up to the test."""

    def __init__(self, on_verdict: OnVerdict, on_failure: OnFailure) -> None:
        self.say = on_verdict
        self.watched: dict[str, Replica] = {}

    def watch(self, replica: Replica, probes: Sequence[Probes], *, is_started: bool) -> None:
        self.watched[replica.name] = replica

    def watches(self, replica: str) -> bool:
        return replica in self.watched

    def forget(self, replica: str) -> None:
        self.watched.pop(replica, None)

    async def close(self) -> None:
        self.watched.clear()


class Recorded:
    """The reconciler and what is around it, driven by hand."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = GivenClock()
        self.runtime = RecordingRuntime()
        self.store = Store(folder / "control.db")
        given = ControlSettings(state=folder, conflate_ms=0, **settings)
        self.publisher = Publisher(self.store, "localhost", lease_s=3600)
        self.reconciler = a_reconciler(
            given, self.store, self.publisher, self.clock, self._make_prober
        )
        runtimes = {"process": self.runtime}
        self.reconciler.use(runtimes)
        self.changes = Changes(
            self.store, runtimes, "localhost", Places(self.store, "local", "local")
        )

    def _make_prober(self, on_verdict: OnVerdict, on_failure: OnFailure) -> RecordingProber:
        self.prober = RecordingProber(on_verdict, on_failure)
        return self.prober

    # --- what is done

    async def looks(self) -> None:
        """The reconciler looks until there is nothing left to do at this moment."""
        quiet = 0
        while quiet < 2:  # what an action leads to is seen by the look after its end
            before = self._seen
            await self.reconciler.look()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
            await asyncio.sleep(0)  # their callbacks
            quiet = quiet + 1 if self._seen == before else 0

    @property
    def _seen(self) -> tuple[int, int]:
        return self.store.view("shop").serial, len(self.runtime.asked)

    async def deploy(self, suffix: str = "v1", *, ready: bool = True, **given: Any) -> None:
        """Deploy, and let every replica become ready unless it is not to."""
        body: AppBody = a_body(suffix, image=f"process:{suffix}", **given)
        self.changes.put(ALICE, "shop", body)
        await self.looks()
        if ready:
            await self.all_ready()

    async def all_ready(self) -> None:
        """Whoever is probed answers."""
        for name in list(self.prober.watched):
            self.prober.say(name, Verdict.READY, "")
        await self.looks()

    async def exits(self, code: int | None = 1) -> None:
        """Every replica that runs ends by itself."""
        for name in list(self.runtime.running):
            del self.runtime.running[name]
            self.reconciler.events.on_exit(name, Exit(code))
        await self.looks()

    async def passes(self, seconds: float) -> None:
        self.clock.go_on(seconds)
        await self.looks()

    async def router_says(self, **in_flight: int) -> None:
        """A router has the table in force, and waits for answers of these replicas."""
        publisher = self.publisher
        publisher.hear("one", publisher.epoch, publisher.version, in_flight, lambda: True)
        self.reconciler.routers_reported()
        await self.looks()

    # --- what is to be seen

    @property
    def replicas(self) -> list[Replica]:
        return list(self.store.view("shop").replicas.values())

    @property
    def replica(self) -> Replica:
        """The only one."""
        (found,) = self.replicas
        return found

    @property
    def states(self) -> list[ReplicaState]:
        return sorted(replica.state for replica in self.replicas)

    def revision(self, suffix: str = "v1") -> Revision:
        return self.store.view("shop").revisions[f"shop--{suffix}"]

    def count(self, what: str) -> int:
        """How often the runtime was asked for something."""
        return sum(asked == what for asked, _ in self.runtime.asked)


@contextmanager
def recorded(folder: Path, **settings: Any) -> Iterator[Recorded]:
    made = Recorded(folder, **settings)
    try:
        yield made
    finally:
        made.store.close()

"""Owns the listening sockets and the workers; hands out tables; merges counters.

Never touches a client's bytes. The sockets live as long as the supervisor, so connections that wait
to be accepted when a worker dies are served by its replacement.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from router.contract.settings import RouterSettings
from router.contract.snapshot import App, Snapshot
from router.process import listeners
from router.process.children import on_parent_gone
from router.routing.stats import UNKNOWN_APP
from router.sources.counted import Counts, Key
from router.sources.source import SnapshotSource
from router.supervisor import handover, sole
from router.supervisor.admin_port import AdminPort
from router.supervisor.code_upgrade import Upgrades
from router.supervisor.handover import Handover
from router.supervisor.keeper import Keeper
from router.supervisor.orphans import Orphans
from router.supervisor.totals import Failures, Shares, Totals, added
from router.supervisor.worker_handle import WorkerHandle

log = logging.getLogger("turnout.router")

_STATS_WAIT_S = 0.5  # a scrape waits this long for workers, then uses what they said last
_SHARE_SAMPLE_S = 5.0
_SHUTDOWN_IDLE_S = 0.5  # for late requests on idle connections when the router ends


@dataclass(slots=True)
class Reloads:
    """How often tables were taken or refused, and when."""

    succeeded: int = 0
    failed: int = 0
    last_success: float = 0.0  # Unix time
    last_seconds: float = 0.0
    last_failure: str = ""
    is_refused: bool = False  # the newest table was refused whole; the one before it stays in force


class Supervisor:
    """One router on one host."""

    def __init__(self, settings: RouterSettings, source: SnapshotSource) -> None:
        self.settings = settings
        self.snapshot = Snapshot(domain=settings.domain)
        self.reloads = Reloads()
        self.shares = Shares()
        self._recent = Failures()
        self.ingress = ""  # the bound HOST:PORT
        self.source = source
        self._apps: dict[str, App | None] = {}  # None for an app that only old workers know
        self._news = asyncio.Event()
        self.keeper = Keeper(settings, self, self._news.set)
        self._workers = self.keeper.workers
        self._retired = Totals()  # what dead workers had counted
        self._stop = asyncio.Event()
        self._upgrade = asyncio.Event()
        self._upgrades = Upgrades(settings.state / "router")
        self._orphans = Orphans(settings.state / "router", settings.orphans_end_s)
        self._lock = -1  # a descriptor
        self._asked = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def run(self, admin: AdminPort) -> None:
        """Serve until SIGTERM or SIGINT, then drain; `admin` serves the state meanwhile."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.source.hurry)
        loop.add_signal_handler(signal.SIGUSR2, self._upgrade.set)
        on_parent_gone(self._stop.set)
        before = handover.received()
        if self.settings.control or self.settings.docker:
            self._lock = sole.claim(self.settings.state, before.lock if before is not None else -1)
        await admin.start(listeners.taken(before.admin) if before is not None else None)
        try:
            await self._start_workers(before)
            self._following = self._spawn(self._follow())
            self._spawn(self._sample())
            self._spawn(self.keeper.watch())
            await self._announce(admin.address)
            for old in self.keeper.old:
                self._spawn(self.keeper.see_off(old))
            self._upgrades.began(self.is_ready())
            while not self._stop.is_set():
                if await self._is_upgrade_due() and await self._upgrades.rehearse():
                    await self._hand_over(admin)
        finally:
            listeners.notify("STOPPING=1")
            await self._drain()
            await admin.close()
        if self._failure is not None:
            raise self._failure

    async def _start_workers(self, before: Handover | None) -> None:
        count = self.settings.worker_count
        self.keeper.inherited = self._orphans.begin(before.inherited if before is not None else ())
        if before is not None:
            given = [listeners.taken(fd) for fd in before.listeners]
            self._retired.add(before.retired, is_alive=False)
            self.keeper.restarts = before.restarts
            self._apps = dict.fromkeys(before.apps)
        else:
            given = listeners.activated()
        sockets = given or listeners.bind_ingress(self.settings.listen, count)
        self.ingress = listeners.address_of(sockets[0])
        sockets = listeners.for_workers(sockets, count)
        for old in before.workers if before is not None else ():
            handle = WorkerHandle(old.slot, sockets, lambda _: self._news.set())
            await handle.adopt(old)
            self.keeper.old.append(handle)
        for slot in range(len(sockets)):
            handle = WorkerHandle(slot, sockets, lambda _: self.keeper.look())
            self._workers.append(handle)
        for handle in self._workers:
            self._spawn(self.keeper.keep(handle))

    # --- upgrades

    async def _is_upgrade_due(self) -> bool:
        """Wait for a signal to act on; True when it asks for an upgrade."""
        waiting = [asyncio.create_task(e.wait()) for e in (self._stop, self._upgrade)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        is_due = self._upgrade.is_set() and not self._stop.is_set()
        self._upgrade.clear()
        return is_due

    async def _hand_over(self, admin: AdminPort) -> None:
        """Replace this process's code by the installed one; the workers serve meanwhile."""
        await self.refresh_stats()
        for sig in (signal.SIGHUP, signal.SIGUSR2):  # until the new code handles them
            asyncio.get_running_loop().remove_signal_handler(sig)
            signal.signal(sig, signal.SIG_IGN)
        if self._following is not None:
            self._following.cancel()  # later tables are for the new code to hand out
        admin_fd = handover.give(admin.listener)
        await admin.close()
        await self.keeper.all_told()
        await self.source.kept()
        if self._stop.is_set():  # a stop was asked for meanwhile, which the new code would not know
            return
        handover.exec_with(
            Handover(
                listeners=[handover.give(w.listener) for w in self._workers],
                admin=admin_fd,
                workers=self.keeper.hand_over(),
                retired=self._retired.report(),
                restarts=self.keeper.restarts,
                apps=list(self._apps),
                inherited=self.keeper.inherited,
                lock=self._lock,
            )
        )

    async def _announce(self, admin: str) -> None:
        waiting = asyncio.create_task(self._stop.wait())
        while not self.is_ready() and not self._stop.is_set():
            self._news.clear()
            news = asyncio.create_task(self._news.wait())
            await asyncio.wait({news, waiting}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        waiting.cancel()
        if self.is_ready():
            print(f"ready ingress={self.ingress} admin={admin}", file=sys.stderr, flush=True)
            listeners.notify("READY=1")

    # --- tables

    async def _follow(self) -> None:
        async for snapshot in self.source.follow(self):
            if isinstance(snapshot, str):
                self.reloads.failed += 1
                self.reloads.last_failure, self.reloads.is_refused = snapshot, True
                log.error("event=table_refused reason=%r", snapshot)
            else:
                await self._take(snapshot)

    async def _take(self, snapshot: Snapshot) -> None:
        """Send a table to every worker, old ones included; each gets only what differs."""
        started = time.perf_counter()
        changed, dropped = self._follow_up(snapshot)
        self.snapshot = snapshot
        for worker in self.keeper.everyone:
            worker.send_table(snapshot, changed, dropped)
        while not self._is_taken() and not self._stop.is_set():
            self._news.clear()
            await self._news.wait()
        self.reloads.succeeded += 1
        self.reloads.is_refused = False
        self.reloads.last_success = time.time()
        self.reloads.last_seconds = time.perf_counter() - started
        log.info(
            "event=table_taken version=%d apps=%d changed=%d dropped=%d ms=%.1f",
            snapshot.version,
            len(self._apps),
            len(changed),
            len(dropped),
            self.reloads.last_seconds * 1000,
        )

    def _follow_up(self, snapshot: Snapshot) -> tuple[Sequence[App], Sequence[str]]:
        """The apps that a table changes, and those it drops, compared with the table in force."""
        delta, here = snapshot.delta, self.snapshot
        if delta is not None and (delta.epoch, delta.version) == (here.epoch, here.version):
            for app in delta.changed:
                self._apps[app.name] = app
            for name in delta.dropped:
                self._apps.pop(name, None)
            return delta.changed, delta.dropped
        old, self._apps = self._apps, {app.name: app for app in snapshot.apps}
        is_same = snapshot.domain == here.domain
        changed = [a for a in snapshot.apps if not is_same or _differs(a, old.get(a.name))]
        return changed, [name for name in old if name not in self._apps]

    def _is_taken(self) -> bool:
        """Whether every worker that can answer routes by the table in force.

        The next table must not wait for a dead or stalled worker: it will start with the newest
        table, or find it among its unread messages.
        """
        wanted = (self.snapshot.epoch, self.snapshot.version)
        return all(w.applied == wanted or w.is_absent for w in self._workers)

    def is_ready(self) -> bool:
        """Whether every slot is served by the table in force, if need be by another worker."""
        wanted = (self.snapshot.epoch, self.snapshot.version)
        routing = [w for w in self._workers if w.applied == wanted]
        excused = (w.is_excused for w in self._workers if w not in routing)
        return self.snapshot.version > 0 and bool(routing) and all(excused)

    @property
    def is_upgrading(self) -> bool:
        """Whether workers of the code before serve until ours do."""
        return bool(self.keeper.old) and not self._upgrades.is_over

    def applied(self) -> tuple[str, int]:
        """Epoch and version that every worker routes by; the lowest while they differ.

        A worker without a table routes by none, so it is left out. An old worker routes by some
        table until it has ended, even before it has said by which.
        """
        known = [w.applied for w in self._workers if w.routes]
        known += [w.applied for w in self.keeper.old if w.is_running]
        epoch = self.snapshot.epoch  # versions of another one are no measure
        return min(known, key=lambda a: (a[0] == epoch, a[1]), default=("", 0))

    def departed(self) -> dict[str, int]:
        """Requests still in flight at replicas that are in no table any more."""
        return added(worker.departed for worker in self.keeper.everyone)

    def has_orphans(self) -> bool:
        """Whether workers of a killed supervisor serve on by the table it gave them."""
        return self._orphans.are_there()

    # --- workers

    @property
    def is_leaving(self) -> bool:
        """Whether the router is ending, so that workers are not replaced."""
        return self._stop.is_set()

    def retire(self, worker: WorkerHandle) -> None:
        """Keep the counts of a worker that has ended."""
        if worker.stats is not None:
            self._retired.add(worker.stats, is_alive=False)
        worker.stats, worker.departed, worker.queued, worker.upstream = None, {}, {}, {}

    async def _drain(self) -> None:
        everyone = self.keeper.everyone
        for worker in everyone:
            worker.drain(idle_s=_SHUTDOWN_IDLE_S, tunnels_s=0.0)
        keepers = [asyncio.ensure_future(w.reap()) for w in everyone if w.pid]
        if keepers:
            limit = self.settings.drain_timeout_s + 5
            _, late = await asyncio.wait(keepers, timeout=limit)
            if late:
                for worker in everyone:
                    worker.kill()
                await asyncio.wait(late)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.source.kept()
        for worker in self._workers:
            worker.listener.close()
        if self.keeper.spans is not None:
            await asyncio.to_thread(self.keeper.spans.close)

    def workers_ready(self) -> int:
        """The number of workers that route by a table."""
        return sum(1 for w in self._workers if w.applied[1] > 0)

    # --- counters

    async def refresh_stats(self) -> None:
        """Ask every worker for its counters and wait briefly for the answers."""
        self._asked += 1
        number = self._asked
        everyone = self.keeper.everyone
        for worker in everyone:
            worker.ask_stats(number)
        try:
            async with asyncio.timeout(_STATS_WAIT_S):
                while any(w.answered < number for w in everyone if not w.ended.is_set()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # a worker that is busy or dying keeps its last figures

    def _is_there(self, app: str, revision: str) -> bool:
        """Whether the table has a revision, or with an empty name, the app."""
        known = self._apps.get(app)
        if known is None or not revision:
            return known is not None or app == UNKNOWN_APP
        return any(r.name == revision for r in known.revisions)

    def totals(self) -> Totals:
        """The counters of all workers, including those that have ended."""
        total = copy.deepcopy(self._retired)
        for worker in self.keeper.everyone:
            if worker.stats is not None:
                total.add(worker.stats, is_alive=True)
        return total

    def failures(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of the last seconds, for each revision with an error."""
        return self._recent.recent()

    def counts(self) -> dict[Key, Counts]:
        """Requests, errors and durations by revision, since the router began."""
        return self.totals().by_revision()

    def connections_open(self) -> int:
        """Client connections of all workers."""
        return sum(w.connections for w in self.keeper.everyone if w.stats is not None)

    def queued(self) -> dict[str, int]:
        """Requests that wait for room at a replica, by revision."""
        return added(worker.queued for worker in self.keeper.everyone)

    def clients_stalled(self) -> int:
        """Clients of all workers that read slower than they are sent to."""
        return sum(w.stalled for w in self.keeper.everyone if w.stats is not None)

    def upstream_connections(self) -> dict[str, tuple[int, int, int]]:
        """Connections to replicas by revision, `(active, idle, connecting)`."""
        total: dict[str, tuple[int, int, int]] = {}
        for worker in self.keeper.everyone:
            for name, (active, idle, connecting) in worker.upstream.items():
                seen = total.get(name, (0, 0, 0))
                total[name] = (seen[0] + active, seen[1] + idle, seen[2] + connecting)
        return total

    async def _sample(self) -> None:
        while True:
            now = time.monotonic()
            self._retired.forget(self._is_there, now, self.settings.metric_lifetime_s)
            totals = self.totals()
            self.shares.sample(now, totals)
            self._recent.sample(now, totals)
            await asyncio.sleep(_SHARE_SAMPLE_S)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            log.critical("event=supervisor_failed reason=%r", str(self._failure))
            self._stop.set()


def _differs(app: App, known: App | None) -> bool:
    """Whether two versions of an app differ; a source keeps the object of an unchanged app."""
    return app is not known and app != known

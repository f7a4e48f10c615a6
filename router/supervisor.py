"""Owns the listening sockets and the workers; hands out tables; merges counters.

Never touches a client's bytes. The sockets live as long as it does, so what waits to be accepted
when a worker dies is served by the worker that replaces it.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Protocol

from router.handle import WorkerHandle
from router.merge import Shares, Totals
from router.parent import on_parent_gone
from router.settings import RouterSettings, split_address
from router.snapshot import App, Snapshot
from router.source import SnapshotSource

log = logging.getLogger("turnout.router")

_STATS_WAIT_S = 0.5  # a scrape waits this long for workers, then uses what they said last
_SHARE_SAMPLE_S = 5.0
_RESPAWN_S = 0.5  # between two deaths of one slot, so that a broken worker is no busy loop


@dataclass(slots=True)
class Reloads:
    """How tables were taken."""

    succeeded: int = 0
    failed: int = 0
    last_success: float = 0.0  # Unix time
    last_seconds: float = 0.0
    last_failure: str = ""


class AdminPort(Protocol):
    """The admin server, as far as the supervisor starts and ends it."""

    @property
    def address(self) -> str:
        """HOST:PORT as bound."""

    async def start(self) -> None:
        """Bind and serve."""

    async def close(self) -> None:
        """Stop serving."""


class Supervisor:
    """One router on one host."""

    def __init__(self, settings: RouterSettings, source: SnapshotSource) -> None:
        self.settings = settings
        self.snapshot = Snapshot(domain=settings.domain)
        self.reloads = Reloads()
        self.shares = Shares()
        self.worker_restarts = 0
        self.ingress = ""  # HOST:PORT as bound
        self._source = source
        self._apps: dict[str, App] = {}
        self._workers: list[WorkerHandle] = []
        self._retired = Totals()  # what dead workers had counted
        self._news = asyncio.Event()
        self._stop = asyncio.Event()
        self._asked = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, admin: AdminPort) -> None:
        """Serve until SIGTERM or SIGINT, then drain; `admin` shows how it goes meanwhile."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._source.hurry)
        on_parent_gone(self._stop.set)
        await admin.start()
        try:
            for slot, listener in enumerate(self._bind()):
                handle = WorkerHandle(slot, listener, self._on_worker_news)
                self._workers.append(handle)
                await handle.start(self.settings)
                self._spawn(self._keep(handle))
            self._spawn(self._follow())
            self._spawn(self._sample())
            await self._announce(admin.address)
            await self._stop.wait()
        finally:
            await self._drain()
            await admin.close()

    def _bind(self) -> list[socket.socket]:
        """One SO_REUSEPORT socket per worker: the kernel spreads connections evenly over them."""
        host, port = split_address(self.settings.listen, "listen")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listeners = []
        for _ in range(self.settings.worker_count):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                listener.close()
                raise OSError(
                    f"cannot listen on {self.settings.listen}: {error.strerror}"
                ) from None
            port = listener.getsockname()[1]
            listener.listen(4096)
            listener.setblocking(False)
            listeners.append(listener)
        self.ingress = f"{host}:{port}"
        return listeners

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

    # --- tables

    async def _follow(self) -> None:
        async for snapshot in self._source.follow(self):
            if isinstance(snapshot, str):
                self.reloads.failed += 1
                self.reloads.last_failure = snapshot
                log.error("event=table_refused reason=%r", snapshot)
            else:
                await self._take(snapshot)

    async def _take(self, snapshot: Snapshot) -> None:
        """Hand a table to every worker; they only get what differs."""
        started = time.perf_counter()
        apps = {app.name: app for app in snapshot.apps}
        if snapshot.domain == self.snapshot.domain:
            changed = [a for name, a in apps.items() if self._apps.get(name) != a]
        else:
            changed = list(apps.values())
        dropped = [name for name in self._apps if name not in apps]
        self.snapshot, self._apps = snapshot, apps
        for worker in self._workers:
            worker.send_table(snapshot, changed, dropped)
        while not self.is_ready() and not self._stop.is_set():
            self._news.clear()
            await self._news.wait()
        self.reloads.succeeded += 1
        self.reloads.last_success = time.time()
        self.reloads.last_seconds = time.perf_counter() - started
        log.info(
            "event=table_taken version=%d apps=%d changed=%d dropped=%d ms=%.1f",
            snapshot.version,
            len(apps),
            len(changed),
            len(dropped),
            self.reloads.last_seconds * 1000,
        )

    def is_ready(self) -> bool:
        """Whether every worker routes by the table in force."""
        wanted = (self.snapshot.epoch, self.snapshot.version)
        return self.snapshot.version > 0 and all(w.applied == wanted for w in self._workers)

    def applied(self) -> tuple[str, int]:
        """Epoch and version that every worker routes by; the lowest while they differ."""
        return min((w.applied for w in self._workers), key=lambda a: a[1], default=("", 0))

    def departed(self) -> dict[str, int]:
        """Requests still in flight at replicas that are in no table any more."""
        total: dict[str, int] = {}
        for worker in self._workers:
            for replica, n in worker.departed.items():
                total[replica] = total.get(replica, 0) + n
        return total

    # --- workers

    def _on_worker_news(self, _: WorkerHandle) -> None:
        self._news.set()

    async def _keep(self, worker: WorkerHandle) -> None:
        """Replace the worker of one slot whenever it dies."""
        while True:
            worker.send_table(self.snapshot, self.snapshot.apps, ())
            code = await worker.reap()
            if worker.stats is not None:
                self._retired.add(worker.stats, is_alive=False)
            worker.stats, worker.departed, worker.applied = None, {}, ("", 0)
            if self._stop.is_set():
                return
            self.worker_restarts += 1
            log.warning("event=worker_died slot=%d exit=%d", worker.slot, code)
            await worker.start(self.settings)
            if code == 0:
                await asyncio.sleep(_RESPAWN_S)

    async def _drain(self) -> None:
        for worker in self._workers:
            worker.drain()
        keepers = [asyncio.ensure_future(w.reap()) for w in self._workers if w.pid]
        if keepers:
            limit = self.settings.drain_timeout_s + 5
            _, late = await asyncio.wait(keepers, timeout=limit)
            if late:
                for worker in self._workers:
                    worker.kill()
                await asyncio.wait(late)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            worker.listener.close()

    def workers_ready(self) -> int:
        """Workers that route by a table."""
        return sum(1 for w in self._workers if w.applied[1] > 0)

    # --- counters

    async def refresh_stats(self) -> None:
        """Ask every worker for its counters and wait a moment for the answers."""
        self._asked += 1
        number = self._asked
        for worker in self._workers:
            worker.ask_stats(number)
        try:
            async with asyncio.timeout(_STATS_WAIT_S):
                while any(w.answered < number for w in self._workers):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # a busy or dying worker; its last figures stand

    def totals(self) -> Totals:
        """The counters of all workers, living and dead."""
        total = copy.deepcopy(self._retired)
        for worker in self._workers:
            if worker.stats is not None:
                total.add(worker.stats, is_alive=True)
        return total

    def connections_open(self) -> int:
        """Client connections of all workers."""
        return sum(w.connections for w in self._workers if w.stats is not None)

    def upstream_connections(self) -> dict[str, tuple[int, int]]:
        """Connections to replicas by revision, `(active, idle)`."""
        total: dict[str, tuple[int, int]] = {}
        for worker in self._workers:
            for name, (active, idle) in worker.upstream.items():
                seen = total.get(name, (0, 0))
                total[name] = (seen[0] + active, seen[1] + idle)
        return total

    async def _sample(self) -> None:
        while True:
            self.shares.sample(time.monotonic(), self.totals())
            await asyncio.sleep(_SHARE_SAMPLE_S)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("event=supervisor_failed", exc_info=task.exception())
            self._stop.set()

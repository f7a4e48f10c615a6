"""The control plane, wired: the only place that names implementations."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
import sys
from functools import partial

from aiohttp import web

from control.api.admin import AdminPages
from control.api.app import build
from control.api.live import Live
from control.changes.changes import Changes
from control.changes.places import Places
from control.model.clock import SystemClock
from control.model.targets import Targets
from control.ops.health import Health
from control.ops.metrics import ControlCounters
from control.ops.upkeep import keep_up
from control.probes.prober import Prober
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from control.runtime import Runtime
from control.runtime.docker import DockerRuntime
from control.runtime.endpoint import EndpointRuntime
from control.runtime.process import ProcessRuntime
from control.runtime.switched_off import SwitchedOff
from control.settings import ControlSettings
from control.store import Store
from control.up.certificates import Authority
from router.process import serving
from router.process.admin.web_site import WebSite
from router.process.admin_server import AdminServer
from router.process.children import on_parent_gone
from router.process.state import write_durably

log = logging.getLogger("turnout.control")

# Objects made between two looks: 3 ms each, where 20,000 held up the loop for 6 to 20 ms.
_GC_THRESHOLD = (5_000, 20, 50)


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set when to leave; both, when the same is to be started again with newer code."""
    stop, upgrade = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def leave_for_upgrade() -> None:
        upgrade.set()
        stop.set()

    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    loop.add_signal_handler(signal.SIGUSR2, leave_for_upgrade)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # there is no file to read again
    on_parent_gone(stop.set)
    return stop, upgrade


class ControlPlane:
    """The parts of one control plane, and the servers in front of them."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self.store = Store(settings.state / "control.db")
        publisher = Publisher(self.store, settings.domain, lease_s=settings.router_lease_s)
        counters = self.counters = ControlCounters()
        self.store.on_record = counters.count_record
        targets = Targets(settings.endpoint_networks)
        self.reconciler = Reconciler(
            settings,
            self.store,
            publisher,
            counters,
            SystemClock(),
            partial(Prober, targets=targets),
        )
        on_exit, instance = self.reconciler.events.on_exit, self.store.instance
        self.store.on_record = counters.count_record
        runtimes: dict[str, Runtime] = {
            "process": ProcessRuntime(settings.state, instance, on_exit),
            "endpoint": EndpointRuntime(targets),
            "docker": DockerRuntime(
                settings,
                instance,
                on_exit,
                partial(self.reconciler.recovery.engine_back, "docker"),
                self.reconciler.events.on_pause,
            ),
        }
        self.runtimes = {
            kind: runtime if kind in settings.runtimes else SwitchedOff(kind, runtime)
            for kind, runtime in runtimes.items()
        }
        self.reconciler.use(self.runtimes)
        places = Places(self.store, settings.resource_group, settings.environment)
        changes = Changes(self.store, self.runtimes, settings.domain, places)
        health = Health(self.store, publisher, self.reconciler.quarantine)
        admin = AdminPages(self.store, health, counters, settings.router_admin)
        live = Live(changes, publisher, self.reconciler.quarantine)
        self.store.watch(live.changed)
        self._parts = (settings, changes, publisher, self.reconciler, admin, live)
        self._servers: list[AdminServer] = []

    async def serve(self) -> str:
        """Open the ports; returns the facts of the ready line."""
        settings = self.settings
        facts = f"admin={await self._open(build(*self._parts), settings.admin)}"
        if settings.sync:
            await self._open(build(*self._parts, is_local=True), settings.sync)
        if settings.azure_port >= 0:
            folder = settings.state / "azure"
            tls, port = Authority(folder).context(), settings.azure_port
            at = await self._open(
                build(*self._parts, signs_in=True), f"127.0.0.1:{port}", tls, "azure_port"
            )
            try:
                write_durably(folder / "endpoint", f"https://{at}".encode())
            except OSError as error:  # only `turnout azure-env` reads it
                log.error("event=azure_endpoint_not_written reason=%r", str(error))
            facts += f" azure=https://{at}"
        return facts

    async def _open(
        self,
        app: web.Application,
        address: str,
        tls: ssl.SSLContext | None = None,
        setting: str = "admin",
    ) -> str:
        settings = self.settings
        server = AdminServer(
            WebSite(app),
            address,
            tls=tls,
            max_connections=settings.admin_connections,
            silence_s=settings.admin_silence_s,
            setting=setting,
        )
        await server.start()
        self._servers.append(server)
        return server.address

    async def close(self, *, stop_replicas: bool) -> None:
        """End everything but what replicas do without us."""
        await self.reconciler.close(stop_replicas=stop_replicas)
        for runtime in self.runtimes.values():
            await runtime.close()
        for server in self._servers:
            await server.close()
        self.store.close()


async def run(settings: ControlSettings) -> None:
    """Run a control plane until SIGTERM or SIGINT."""
    stop, upgrade = _signals()
    gc.disable()  # what is read now stays: to look through it again and again takes seconds
    plane = ControlPlane(settings)
    await plane.reconciler.recover()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    gc.enable()
    loop_task = asyncio.create_task(plane.reconciler.run())
    loop_task.add_done_callback(lambda _: stop.set())
    upkeep = asyncio.create_task(keep_up(plane.store, plane.counters, settings))
    try:
        print(f"ready {await plane.serve()}", file=sys.stderr, flush=True)
        await stop.wait()
    finally:
        loop_task.cancel()
        upkeep.cancel()
        failure, *_ = await asyncio.gather(loop_task, upkeep, return_exceptions=True)
        await plane.close(stop_replicas=settings.on_exit == "stop" and not upgrade.is_set())
    if isinstance(failure, Exception):
        raise failure


def main(settings: ControlSettings) -> int:
    """Run until told to stop; returns the exit code."""
    return serving.serve(settings, lambda: run(settings))

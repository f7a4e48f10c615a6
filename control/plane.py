"""The control plane, wired: the only place that names implementations."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from control.api.admin import AdminPages
from control.api.app import build
from control.certificates import Authority
from control.metrics import ControlCounters
from control.publisher import Publisher
from control.reconciler import Reconciler
from control.runtime import Runtime
from control.runtime.endpoint import EndpointRuntime
from control.runtime.process import ProcessRuntime
from control.service import Service
from control.settings import ControlSettings
from control.store import Store
from router import serving
from router.admin import serve
from router.parent import on_parent_gone

log = logging.getLogger("turnout.control")


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


async def run(settings: ControlSettings) -> None:
    """Run a control plane until SIGTERM or SIGINT."""
    stop, upgrade = _signals()
    store = Store(settings.state / "control.db")
    publisher = Publisher(store, settings.domain, lease_s=settings.router_lease_s)
    counters = ControlCounters()
    reconciler = Reconciler(settings, store, publisher, counters)
    runtimes: dict[str, Runtime] = {
        "process": ProcessRuntime(settings.state, store.instance, reconciler.lives.on_exit),
        "endpoint": EndpointRuntime(),
    }
    reconciler.use(runtimes)
    service = Service(store, runtimes, settings.domain)
    admin = AdminPages(store, publisher, counters, settings.router_admin)
    parts = (settings, service, publisher, reconciler, admin)
    await reconciler.recover()
    loop_task = asyncio.create_task(reconciler.run())
    loop_task.add_done_callback(lambda _: stop.set())
    runners = []
    try:
        runner, address = await serve(build(*parts), settings.admin)
        runners.append(runner)
        if settings.sync:
            local, _ = await serve(build(*parts, is_local=True), settings.sync)
            runners.append(local)
        azure = ""
        if settings.azure_port >= 0:
            tls = Authority(settings.state / "azure").context()
            app = build(*parts, signs_in=True)
            runner, at = await serve(app, f"127.0.0.1:{settings.azure_port}", tls=tls)
            runners.append(runner)
            azure = f" azure=https://{at}"
            (settings.state / "azure" / "endpoint").write_text(f"https://{at}")
        print(f"ready admin={address}{azure}", file=sys.stderr, flush=True)
        await stop.wait()
    finally:
        loop_task.cancel()
        failure = (await asyncio.gather(loop_task, return_exceptions=True))[0]
        await reconciler.close(stop_replicas=settings.on_exit == "stop" and not upgrade.is_set())
        for runner in runners:
            await runner.cleanup()
        store.close()
    if isinstance(failure, Exception):
        raise failure


def main(settings: ControlSettings) -> int:
    """Run until told to stop; returns the exit code."""
    return serving.serve(settings, lambda: run(settings))

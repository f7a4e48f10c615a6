"""`python -m router`: a router alone, set by TURNOUT_… variables and TURNOUT_CONFIG."""

from __future__ import annotations

import importlib
import os
import sys
from functools import partial
from pathlib import Path

from router.contract.settings import RouterSettings
from router.forwarding.log_file import check_target
from router.loop.descriptors import fitted
from router.process import tokens
from router.process.config import BadSettings, load
from router.process.serving import serve
from router.process.state import tighten
from router.sources.file import FileSource
from router.sources.source import SnapshotSource
from router.supervisor import handover
from router.supervisor.admin import Admin
from router.supervisor.supervisor import Supervisor
from router.tracing import exporter

_ROLES = ("router", "write")  # that may follow a control plane


def source_of(settings: RouterSettings) -> SnapshotSource:
    """The source that the settings name."""
    told = _told(settings)
    if not settings.docker:
        assert told is not None  # RouterSettings.check
        return told
    from router.sources.docker import CombinedSource, DockerSource  # aiodocker, for who uses it

    state = settings.state / "router"
    found = DockerSource(
        settings.docker_host,
        settings.domain,
        state,
        settings.docker_resync_s,
        settings.docker_absent_s,
    )
    return CombinedSource(told, found) if told is not None else found


def _told(settings: RouterSettings) -> SnapshotSource | None:
    """What is followed but found containers."""
    if settings.routes:
        path = Path(settings.routes)
        if not path.is_file():
            raise BadSettings(f"routes: there is no file {path}")
        return FileSource(path, settings.domain)
    if not settings.control:
        return None
    from router.sources.control_plane import ControlSource  # aiohttp, for who uses it

    find = partial(tokens.to_send, settings.control, settings.token_file, settings.state, _ROLES)
    token = tokens.kept(lambda: settings.token or find())
    return ControlSource(settings.control, settings.state / "router", token)


def run(settings: RouterSettings) -> int:
    """Run a router until it is told to stop; returns the exit code."""

    if handover.is_rehearsal():
        importlib.import_module("router.worker.worker")  # which we start, but never import
        return serve(settings, rehearse)

    async def main() -> None:
        tighten(settings.state)
        if settings.access_log:
            check_target(settings.access_log)  # or the workers would fail, one by one
        if settings.otlp_endpoint:
            exporter.check_installed()
        supervisor = Supervisor(fitted(settings), source_of(settings))
        await supervisor.run(Admin(supervisor))

    return serve(settings, main)


async def rehearse() -> None:
    """All that an upgrade needs to know: the code loads, and the settings are good."""


def main() -> int:
    """Entry point."""
    file = os.environ.get("TURNOUT_CONFIG")
    try:
        settings = load(RouterSettings, {}, file=Path(file) if file else None)
    except BadSettings as error:
        print(f"turnout: {error}", file=sys.stderr)
        return 2
    return run(settings)


if __name__ == "__main__":
    raise SystemExit(main())

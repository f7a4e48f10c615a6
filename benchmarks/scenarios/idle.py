"""What 2,000 apps cost that nobody uses: `python -m benchmarks.scenarios.idle [APPS]`.

Each has three revisions, one of which serves from an endpoint with the default probes or with HTTP
ones; at an address of its own, or all at one. Prints the share of a core that the control plane
takes while nothing happens.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from benchmarks.scenarios.control import settled
from control.model.kinds import AppName
from control.model.resources import AppView
from control.model.schema import AppBody
from control.rules import commands
from control.store import Store
from tests.support.origin import OK
from tests.support.turnout import Turnout

APPS, REVISIONS = 2000, 3
SETTLE_S, MEASURE_S = 20.0, 20.0
_LIMIT = 3.0
_HTTP = {"httpGet": {"path": "/", "port": 80}}
PROBES: dict[str, list[dict[str, Any]]] = {
    "default probes (TCP)": [],
    "HTTP probes": [
        {"type": "Startup", **_HTTP, "periodSeconds": 1},
        {"type": "Readiness", **_HTTP, "periodSeconds": 5},
        {"type": "Liveness", **_HTTP, "periodSeconds": 10},
    ],
}


class _Answers(asyncio.Protocol):
    """Says OK to whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(OK)


async def listen(number: int) -> list[asyncio.Server]:
    """So many ports of loopback that answer."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    loop = asyncio.get_running_loop()
    return [await loop.create_server(_Answers, "127.0.0.1", 0) for _ in range(number)]


def fill(path: Path, addresses: list[str], apps: int, probes: list[dict[str, Any]]) -> None:
    """A store of apps whose newest revision serves from one endpoint."""
    store = Store(path)
    for number in range(apps):
        name, view = AppName(f"app{number}"), AppView(None)
        address = addresses[number % len(addresses)]
        for version in range(REVISIONS):
            container = {"image": f"endpoint:{address}", "probes": probes}
            env = [{"name": "VERSION", "value": str(version)}]
            template = {"revisionSuffix": f"v{version}", "containers": [container | {"env": env}]}
            body = AppBody.model_validate(
                {"configuration": {"ingress": {"targetPort": 80}}, "template": template}
            )
            view = settled(commands.deploy(view, name, body, 1000.0 + version, str), address)
        store.write(name, store.view(name), view)
    store.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(state: Path) -> float:
    """Percent of a core."""
    with Turnout("control", state=state, admin="127.0.0.1:0") as control:
        time.sleep(SETTLE_S)
        before = _cpu_s(control.process.pid)
        time.sleep(MEASURE_S)
        return (_cpu_s(control.process.pid) - before) / MEASURE_S * 100


async def run(apps: int) -> None:
    """Fill, measure, print."""
    for (what, probes), ports in itertools.product(PROBES.items(), (apps, 1)):
        servers = await listen(ports)
        addresses = [f"127.0.0.1:{s.sockets[0].getsockname()[1]}" for s in servers]
        with tempfile.TemporaryDirectory(prefix="turnout-idle-") as folder:
            state = Path(folder)
            await asyncio.to_thread(fill, state / "control.db", addresses, apps, probes)
            share = await asyncio.to_thread(measure, state)
        for server in servers:
            server.close()
        where = f"{what}, {ports:,} addresses"
        print(f"{apps:,} idle apps, {where}: {share:.1f} % of a core (at most {_LIMIT:g})")


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else APPS))

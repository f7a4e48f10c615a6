"""What 2,000 apps cost that nobody uses: `python -m benchmarks.scenarios.idle [APPS]`.

Each has three revisions, one of which serves from an endpoint with the default probes or with HTTP
ones. Prints the share of a core that the control plane takes while nothing happens.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scenarios.control import settled
from control import commands
from control.resources import AppView
from control.schema import AppBody
from control.store import Store
from tests.support.origin import Origin
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


def fill(path: Path, address: str, apps: int, probes: list[dict[str, Any]]) -> None:
    """A store of apps whose newest revision serves from one endpoint."""
    store = Store(path)
    for number in range(apps):
        name, view = f"app{number}", AppView(None)
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
    for what, probes in PROBES.items():
        with tempfile.TemporaryDirectory(prefix="turnout-idle-") as folder:
            async with Origin() as origin:
                state = Path(folder)
                fill(state / "control.db", origin.address, apps, probes)
                share = await asyncio.to_thread(measure, state)
        print(f"{apps:,} idle apps, {what}: {share:.1f} % of a core (at most {_LIMIT:g})")


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else APPS))

"""The control plane with 1,000 apps of 10 revisions: `python -m benchmarks.scenarios.control`.

Prints how long a list takes, a change until it is acknowledged and until the router on this host
routes by it, the start, and the memory. The issue's limits stand beside.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from control import commands
from control.planner import Limits, plan
from control.resources import AppView, ReplicaState, replace
from control.schema import AppBody
from control.store import Store
from tests.support.origin import Origin
from tests.support.turnout import Turnout, marked

APPS, REVISIONS, CHANGES = 1000, 10, 100
_LIMITS = Limits(progress_deadline_s=600, crash_loop_exits=3, drain_timeout_s=0)
_POLL_S = 0.002


def fill(path: Path, address: str) -> None:
    """A store of apps whose newest revision serves from one endpoint."""
    store = Store(path)
    for number in range(APPS):
        name, view = f"app{number}", AppView(None)
        for version in range(1, REVISIONS + 1):
            body = AppBody.model_validate(
                {
                    "configuration": {"ingress": {"targetPort": 80}},
                    "template": {
                        "revisionSuffix": f"v{version}",
                        "containers": [
                            {
                                "image": f"endpoint:{address}",
                                "env": [{"name": "VERSION", "value": str(version)}],
                            }
                        ],
                    },
                }
            )
            view = commands.deploy(view, name, body, 1000.0 + version, str)
            view = settled(view, address)
        store.write(name, store.view(name), view)
    store.close()


def settled(view: AppView, address: str) -> AppView:
    """The view once its replicas run and the old ones are gone."""
    for _ in range(6):
        result = plan(view, 2000.0, _LIMITS, lambda *_: True, lambda revision: f"{revision}-r1")
        replicas = {
            name: replace(r, state=ReplicaState.READY, address=address)
            for name, r in result.view.replicas.items()
            if not r.is_leaving
        }
        view = AppView(result.view.app, result.view.revisions, replicas)
    return view


class Client:
    """One kept-alive connection to the API, and one to the ingress."""

    def __init__(self, up: Turnout) -> None:
        self._api = http.client.HTTPConnection(up.facts["admin"], timeout=30)
        self._headers = up.authorization | {"Content-Type": "application/json"}
        self._ingress = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)

    def call(self, method: str, path: str, body: str | None = None) -> float:
        """Milliseconds until the answer was read."""
        began = time.perf_counter()
        self._api.request(method, path, body, self._headers)
        response = self._api.getresponse()
        response.read()
        assert response.status < 300, response.status
        return (time.perf_counter() - began) * 1000

    def routes(self, host: str) -> bool:
        """Whether the router knows a host."""
        self._ingress.request("GET", "/", headers={"Host": host})
        response = self._ingress.getresponse()
        response.read()
        return response.status != 404

    def change(self, number: int) -> tuple[float, float]:
        """A new domain for an app: milliseconds until acknowledged, and until routed."""
        host = f"h{number}.example.com"
        body = f'{{"configuration":{{"ingress":{{"customDomains":[{{"name":"{host}"}}]}}}}}}'
        began = time.perf_counter()
        acknowledged = self.call("PATCH", f"/v1/apps/app{number}", body)
        while not self.routes(host):
            time.sleep(_POLL_S)
        return acknowledged, (time.perf_counter() - began) * 1000


def measure(state: Path) -> list[tuple[str, float, float, str]]:
    """Rows of: what, how much, at most, unit."""
    os.environ["TEST_MARK"] = str(state)
    began = time.perf_counter()
    with Turnout("up", state=state, listen="127.0.0.1:0", admin="127.0.0.1:0", workers=1) as up:
        start_s = time.perf_counter() - began
        client = Client(up)
        time.sleep(5)  # the probes' first round is behind it
        lists = sorted(client.call("GET", "/v1/apps") for _ in range(20))
        changes = [client.change(number) for number in range(CHANGES)]
        acknowledged = sorted(c[0] for c in changes)
        routed = sorted(c[1] for c in changes)
        memory = max(_rss_mib(pid) for pid in marked(state, also=b"TURNOUT_SYNC="))
    last = CHANGES * 99 // 100
    return [
        ("list of all apps, median", lists[len(lists) // 2], 100, "ms"),
        ("change acknowledged, median", acknowledged[CHANGES // 2], 20, "ms"),
        ("change acknowledged, p99", acknowledged[last], 20, "ms"),
        ("change in force on the router, median", routed[CHANGES // 2], 150, "ms"),
        ("change in force on the router, p99", routed[last], 150, "ms"),
        ("start of both halves until ready", start_s, 3, "s"),
        ("memory of the control plane", memory, 250, "MiB"),
    ]


def _rss_mib(pid: int) -> float:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


async def run() -> None:
    """Fill, measure, print."""
    with tempfile.TemporaryDirectory(prefix="turnout-control-") as folder:
        async with Origin() as origin:
            state = Path(folder)
            fill(state / "control.db", origin.address)
            rows = await asyncio.to_thread(measure, state)
    title = f"{APPS:,} apps x {REVISIONS} revisions, {APPS:,} replicas probed"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for column in ("", "measured", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    for what, value, limit, unit in rows:
        table.add_row(what, f"{value:.1f} {unit}", f"{limit:g} {unit}")
    Console(width=100).print(table)


if __name__ == "__main__":
    asyncio.run(run())

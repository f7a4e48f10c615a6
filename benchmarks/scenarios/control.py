"""What a change costs with many apps: `python -m benchmarks.scenarios.control [APPS …]`.

For 100, 2,000 and 10,000 apps of three revisions: a new app, one changed app until it is
acknowledged and until the router on this host routes by it, the CPU of both halves for it, a list,
and how long a reader waits while 300 apps change at once. The limits stand beside.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from control.model.clock import Moment
from control.model.kinds import AppName, ReplicaName, RevisionName
from control.model.resources import AppView, ReplicaState, replace, to_doc
from control.model.schema import AppBody
from control.reconcile.limits import Limits
from control.reconcile.planner import plan
from control.rules import commands
from control.store import Store
from tests.support.origin import Origin
from tests.support.turnout import Turnout, children, command_of

SIZES, REVISIONS = (100, 2000, 10_000), 3
CHANGES, NEW, LISTS, AT_ONCE = 100, 50, 10, 300
_LIMITS = Limits(progress_deadline_s=600, crash_loop_exits=3, drain_timeout_s=0)
_POLL_S = 0.002
_APART_S = 0.03  # between two changes, so that each is a version of its own
_IDLE_S = 4.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_ZERO = AppName("app00000")


def a_body(address: str, suffix: str, version: int = 0, **ingress: object) -> dict[str, object]:
    """An app of one foreign endpoint, probed so rarely that probes are no part of the figures."""
    probe = {"type": "Readiness", "tcpSocket": {"port": 80}, "periodSeconds": 240}
    container = {
        "image": f"endpoint:{address}",
        "env": [{"name": "VERSION", "value": str(version)}],
        "probes": [probe],
    }
    return {
        "configuration": {"ingress": {"targetPort": 80, **ingress}},
        "template": {"revisionSuffix": suffix, "containers": [container]},
    }


def fill(path: Path, address: str, apps: int) -> None:
    """A store of apps whose newest revision serves from one endpoint: one app, written often."""
    view = AppView(None)
    for version in range(1, REVISIONS + 1):
        body = AppBody.model_validate(a_body(address, f"v{version}", version))
        view = settled(commands.deploy(view, _ZERO, body, 1000.0 + version, str), address)
    Store(path).close()
    assert view.app is not None
    rows: list[tuple[str, str, bytes]] = [("apps", _ZERO, orjson.dumps(to_doc(view.app)))]
    rows += [("revisions", n, orjson.dumps(to_doc(r))) for n, r in view.revisions.items()]
    rows += [("replicas", n, orjson.dumps(to_doc(r))) for n, r in view.replicas.items()]
    with sqlite3.connect(path) as db:
        for number in range(apps):
            name = f"app{number:05}"
            for table, key, doc in rows:
                values = (key.replace(_ZERO, name), doc.replace(_ZERO.encode(), name.encode()))
                if table == "apps":
                    db.execute("INSERT INTO apps VALUES (?, ?)", values)
                else:
                    db.execute(
                        f"INSERT INTO {table} VALUES (?, ?, ?)", (values[0], name, values[1])
                    )
    db.close()


def _replica_of(revision: RevisionName) -> ReplicaName:
    return ReplicaName(f"{revision}-r1")


def settled(view: AppView, address: str) -> AppView:
    """The view once its replicas run and the old ones are gone."""
    for _ in range(6):
        moment = Moment(2000.0, 2000.0)
        result = plan(view, moment, _LIMITS, lambda *_: True, _replica_of)
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
        self._api = http.client.HTTPConnection(up.facts["admin"], timeout=120)
        self._headers = up.authorization | {"Content-Type": "application/json"}
        self._ingress = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> float:
        """Milliseconds until the answer was read."""
        text = json.dumps(body) if body is not None else None
        began = time.perf_counter()
        self._api.request(method, path, text, self._headers)
        response = self._api.getresponse()
        answer = response.read()
        assert response.status < 300, (response.status, answer)
        return (time.perf_counter() - began) * 1000

    def routes(self, host: str) -> bool:
        """Whether the router knows a host."""
        self._ingress.request("GET", "/", headers={"Host": host})
        response = self._ingress.getresponse()
        response.read()
        return response.status != 404

    def change(self, number: int, host: str) -> float:
        """A new domain for an app: milliseconds until acknowledged."""
        ingress = {"customDomains": [{"name": host}]}
        body = {"configuration": {"ingress": ingress}}
        return self.call("PATCH", f"/v1/apps/app{number:05}", body)

    def in_force(self, number: int, host: str) -> float:
        """The same: milliseconds until it is routed."""
        began = time.perf_counter()
        self.change(number, host)
        while not self.routes(host):
            time.sleep(_POLL_S)
        return (time.perf_counter() - began) * 1000


@dataclass
class Cpu:
    """Processor seconds of the two halves, workers included."""

    control: list[int]
    router: list[int]

    @classmethod
    def of(cls, up: Turnout) -> Cpu:
        """The processes of `turnout up`."""
        parts = {pid: command_of(pid) for pid in children(up.process.pid)}
        control = [pid for pid, line in parts.items() if "-m control" in line]
        router = [pid for pid, line in parts.items() if "-m router" in line]
        return cls(control, [*router, *(w for pid in router for w in children(pid))])

    def used(self) -> tuple[float, float]:
        """Seconds so far."""
        return sum(map(_cpu_s, self.control)), sum(map(_cpu_s, self.router))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def per_change(client: Client, cpu: Cpu) -> tuple[list[float], float, float]:
    """Milliseconds until acknowledged, and of CPU in control and router beyond idling."""
    idle = cpu.used()
    time.sleep(_IDLE_S)
    idle_s = [(now - then) / _IDLE_S for now, then in zip(cpu.used(), idle, strict=True)]
    before, began = cpu.used(), time.perf_counter()
    acknowledged = []
    for number in range(CHANGES):
        acknowledged.append(client.change(number, f"cpu{number}.example.com"))
        time.sleep(_APART_S)
    time.sleep(0.5)
    took = time.perf_counter() - began
    used = [now - then for now, then in zip(cpu.used(), before, strict=True)]
    control, router = (
        max(0.0, u - i * took) * 1000 / CHANGES for u, i in zip(used, idle_s, strict=True)
    )
    return acknowledged, control, router


def longest_wait(up: Turnout, client: Client) -> float:
    """The longest that a reader waited, in milliseconds, while 300 apps changed at once."""
    waits: list[float] = []
    is_over = threading.Event()

    def read() -> None:
        reader = Client(up)
        while not is_over.is_set():
            waits.append(reader.call("GET", f"/v1/apps/{_ZERO}"))

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.3)
    names = [f"app{n % 100:05}" if n < 100 else f"many{n}" for n in range(AT_ONCE)]
    changes = []
    for number, name in enumerate(names):
        hosts = [{"name": f"t{number}.example.com"}]
        body = a_body("127.0.0.1:9", "t1", number, customDomains=hosts)
        changes.append({"app": name, "method": "PUT", "body": body})
    client.call("POST", "/v1/transactions", {"changes": changes})
    time.sleep(2.0)
    is_over.set()
    thread.join()
    return max(waits)


def measure(state: Path, address: str) -> list[tuple[str, float, float, str]]:
    """Rows of: what, how much, at most, unit."""
    began = time.perf_counter()
    with Turnout("up", state=state, listen="127.0.0.1:0", admin="127.0.0.1:0", workers=1) as up:
        start_s = time.perf_counter() - began
        client, cpu = Client(up), Cpu.of(up)
        time.sleep(3)  # what a start does afterwards is behind it
        acknowledged, control, router = per_change(client, cpu)
        in_force = [client.in_force(n, f"force{n}.example.com") for n in range(CHANGES)]
        lists = [client.call("GET", "/v1/apps") for _ in range(LISTS)]
        made = [client.call("PUT", f"/v1/apps/new{n}", a_body(address, "v1")) for n in range(NEW)]
        wait = longest_wait(up, client)
        memory = sum(map(_rss_mib, cpu.control))
    return [
        ("new app acknowledged, p50", _at(made, 50), 10, "ms"),
        ("change acknowledged, p50", _at(acknowledged, 50), 10, "ms"),
        ("change acknowledged, p99", _at(acknowledged, 99), 100, "ms"),
        ("CPU of a change in control", control, 10, "ms"),
        ("CPU of a change in the router", router, 10, "ms"),
        ("change in force, p50", _at(in_force, 50), 100, "ms"),
        ("change in force, p99", _at(in_force, 99), 100, "ms"),
        ("list of all apps, p50", _at(lists, 50), 100, "ms"),
        ("a reader's longest wait, 300 changes", wait, 50, "ms"),
        ("start until ready", start_s, 30, "s"),
        ("memory of the control plane", memory, 1000, "MiB"),
    ]


def _at(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def _rss_mib(pid: int) -> float:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


async def run(sizes: list[int]) -> None:
    """Fill, measure, print."""
    found: dict[int, list[tuple[str, float, float, str]]] = {}
    for apps in sizes:
        with tempfile.TemporaryDirectory(prefix="turnout-control-") as folder:
            async with Origin() as origin:
                state = Path(folder)
                fill(state / "control.db", origin.address, apps)
                found[apps] = await asyncio.to_thread(measure, state, origin.address)
    table = Table(title=f"apps of {REVISIONS} revisions", box=box.SIMPLE_HEAD)
    table.add_column("")
    for apps in sizes:
        table.add_column(f"{apps:,} apps", justify="right")
    table.add_column("at most", justify="right")
    for row in zip(*found.values(), strict=True):
        what, _, limit, unit = row[0]
        table.add_row(what, *(f"{value:.1f} {unit}" for _, value, _, _ in row), f"{limit:g} {unit}")
    Console(width=110).print(table)


if __name__ == "__main__":
    asyncio.run(run([int(a) for a in sys.argv[1:]] or list(SIZES)))

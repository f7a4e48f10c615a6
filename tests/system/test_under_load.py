"""Everything an operator does, under load, without a lost request (the issue's second proof)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.support.load import Load
from tests.support.turnout import (
    Turnout,
    children,
    command_of,
    provisioned,
    template,
    until,
)

APP = "album-api"
RATE = 200.0
KILL_WINDOW_S = 0.5


def rules(**weights: int) -> dict[str, Any]:
    return {
        "traffic": [
            {"revisionName": f"{APP}--{suffix}", "weight": weight}
            for suffix, weight in weights.items()
        ]
    }


def part(up: Turnout, module: str) -> int:
    return next(p for p in children(up.process.pid) if f"-m {module} " in command_of(p))


class Operator:
    """Does things to a running turnout while requests flow."""

    def __init__(self, up: Turnout) -> None:
        self.up = up
        self.forgiven: list[tuple[float, float]] = []

    def change_weights_ten_times(self) -> None:
        for n in range(10):
            self.up.must("PUT", f"/v1/apps/{APP}/traffic", rules(v1=10 * n, v2=100 - 10 * n))
            time.sleep(0.3)

    def move_the_label_back_and_forth(self) -> None:
        for suffix in ("v1", "v2", "v1", "v2"):
            body = {"revision": f"{APP}--{suffix}"}
            self.up.must("PUT", f"/v1/apps/{APP}/labels/staging", body)
            time.sleep(0.3)

    def deploy_a_third_revision(self) -> None:
        self.up.must("PATCH", f"/v1/apps/{APP}", {"template": template("v3", replicas=2)})
        provisioned(self.up, f"{APP}--v3")
        self.up.must("PUT", f"/v1/apps/{APP}/traffic", rules(v1=30, v2=30, v3=40))

    def deactivate_one(self) -> None:
        self.up.must("PUT", f"/v1/apps/{APP}/traffic", rules(v2=50, v3=50))
        self.up.must("POST", f"/v1/apps/{APP}/revisions/{APP}--v1/deactivate")
        path = f"/v1/apps/{APP}/revisions/{APP}--v1/replicas"
        until(lambda: not self.up.must("GET", path)["value"])

    def kill_a_worker(self) -> None:
        worker = children(part(self.up, "router"))[0]
        now = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        until(lambda: self.up.call("GET", "/readyz")[0] == 200)
        self.forgiven.append((now, time.monotonic() + KILL_WINDOW_S))

    def kill_a_replica(self) -> None:
        path = f"/v1/apps/{APP}/revisions/{APP}--v3/replicas"
        address = self.up.must("GET", path)["value"][0]["address"]
        replica = next(
            p
            for p in children(part(self.up, "control"))
            if f"PORT={address.rpartition(':')[2]}".encode()
            in Path(f"/proc/{p}/environ").read_bytes().split(b"\0")
        )
        os.kill(replica, signal.SIGKILL)
        restarts = "restartCount"
        until(
            lambda: (
                all(r["state"] == "Ready" for r in self.up.must("GET", path)["value"])
                and any(r["containers"][0][restarts] for r in self.up.must("GET", path)["value"])
            )
        )

    def restart_control(self) -> None:
        before = part(self.up, "control")
        os.kill(before, signal.SIGKILL)
        until(lambda: not command_of(before))
        until(self._is_control_back)
        self.up.must("PUT", f"/v1/apps/{APP}/traffic", rules(v2=80, v3=20))

    def _is_control_back(self) -> bool:
        try:
            return self.up.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def do_everything(self) -> None:
        self.change_weights_ten_times()
        self.move_the_label_back_and_forth()
        self.deploy_a_third_revision()
        self.deactivate_one()
        self.kill_a_worker()
        self.kill_a_replica()
        self.restart_control()


async def test_operations_under_load_lose_no_request(state: Path) -> None:
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s") as up:
        configuration = {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}}
        body = {"configuration": configuration, "template": template("v1", replicas=2)}
        up.must("PUT", f"/v1/apps/{APP}", body)
        up.must("PATCH", f"/v1/apps/{APP}", {"template": template("v2", replicas=2)})
        for suffix in ("v1", "v2"):
            await asyncio.to_thread(provisioned, up, f"{APP}--{suffix}")
        load = Load(up.port, f"{APP}.localhost", RATE)
        running = asyncio.create_task(load.run())

        operator = Operator(up)
        await asyncio.to_thread(operator.do_everything)
        await asyncio.to_thread(until, lambda: load.outcome.sent > 10 * RATE)
        load.stop()
        outcome = await running

        print(outcome)
        # Only the killed worker's own requests may be lost, and only at that instant.
        assert outcome.failed_outside(operator.forgiven) == []
        assert len(outcome.failures) <= 20


async def test_a_killed_router_is_replaced_while_its_workers_serve_on(state: Path) -> None:
    settings = {"state": state / "s", "orphan_grace_s": 4}
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings) as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", f"/v1/apps/{APP}", body)
        await asyncio.to_thread(provisioned, up, f"{APP}--v1")
        await asyncio.to_thread(until, lambda: up.get(f"{APP}.localhost")[0] == 200)
        load = Load(up.port, f"{APP}.localhost", RATE)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(0.5)

        before = part(up, "router")
        orphans = children(before)
        os.kill(before, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: not any(map(command_of, orphans)))
        await asyncio.to_thread(until, lambda: up.call("GET", "/readyz")[0] == 200)
        load.stop()
        outcome = await running
        print(outcome)
        assert outcome.failures == []


DEPLOYS, DEPLOY_RATE, BAD_EVERY = 10, 500.0, 5


def deploy_good_and_bad(up: Turnout) -> None:
    """Ten in a row; every fifth never becomes ready."""
    for n in range(1, DEPLOYS + 1):
        given = template(f"v{n}", N=str(n))
        is_bad = n % BAD_EVERY == 0
        if is_bad:
            command = ["sh", "-c", "echo no; exit 3"]
            given["containers"][0] |= {"image": "process:", "command": command}
        up.must("PATCH", f"/v1/apps/{APP}", {"template": given})
        if not is_bad:
            provisioned(up, f"{APP}--v{n}")
            continue
        path = f"/v1/apps/{APP}/revisions/{APP}--v{n}"
        failed = until(
            lambda p=path: (w := up.must("GET", p)).get("provisioningState") == "Failed" and w
        )
        assert "exit code '3'" in failed["runningStateDetails"]
        assert "Last output: no" in failed["runningStateDetails"]


async def test_single_mode_deploys_lose_no_request_and_a_bad_one_never_serves(
    state: Path,
) -> None:
    settings = {"restart_backoff_s": 0.1, "state": state / "s"}
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings) as up:
        configuration = {"activeRevisionsMode": "single", "ingress": {"targetPort": 80}}
        up.must("PUT", f"/v1/apps/{APP}", {"configuration": configuration, "template": template()})
        first = up.must("GET", f"/v1/apps/{APP}")["latestRevisionName"]
        await asyncio.to_thread(provisioned, up, first)
        load = Load(up.port, f"{APP}.localhost", DEPLOY_RATE)
        running = asyncio.create_task(load.run())
        await asyncio.to_thread(deploy_good_and_bad, up)
        load.stop()
        outcome = await running
        print(outcome)
        assert outcome.sent > 100 * DEPLOYS
        assert outcome.failures == []
        app = up.must("GET", f"/v1/apps/{APP}")
        assert app["latestReadyRevisionName"] == f"{APP}--v{DEPLOYS - 1}"
        assert app["provisioningState"] == "Failed"

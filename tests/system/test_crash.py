"""SIGKILL at awkward moments: state is kept, nothing is doubled, nothing is orphaned."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.turnout import (
    Turnout,
    is_alive,
    marked,
    provisioned,
    routes,
    run,
    template,
    until,
)

APP = "shop"


def a_control(state: Path) -> Turnout:
    return Turnout("control", admin="127.0.0.1:0", state=state / "s", restart_backoff_s=0.2)


def replica_processes(state: Path) -> list[int]:
    return marked(state, also=b"TURNOUT_REPLICA=")


def put(control: Turnout, suffix: str, replicas: int, mode: str = "single") -> None:
    configuration = {"activeRevisionsMode": mode, "ingress": {"targetPort": 80}}
    body = {"configuration": configuration, "template": template(suffix, replicas=replicas)}
    control.must("PUT", f"/v1/apps/{APP}", body)


def clean_up(control: Turnout, state: Path) -> None:
    control.must("DELETE", f"/v1/apps/{APP}")
    until(lambda: not replica_processes(state))


@pytest.mark.parametrize("moment", range(4))
def test_control_killed_in_the_middle_of_a_deploy_converges(state: Path, moment: int) -> None:
    with a_control(state) as control:
        put(control, "v1", 2)
        provisioned(control, f"{APP}--v1")
        put(control, "v2", 3)  # acknowledged, so it may not be lost
        time.sleep(moment * random.uniform(0.02, 0.5))
        control.kill()
        assert len(replica_processes(state)) >= 2  # they live on and go on serving

        with a_control(state) as again:
            provisioned(again, f"{APP}--v2")
            until(lambda: routes(again)[APP] == {f"{APP}--v2": 3})
            until(lambda: len(replica_processes(state)) == 3)
            revisions = again.must("GET", f"/v1/apps/{APP}/revisions")["value"]
            assert [(r["name"], r["active"]) for r in revisions] == [
                (f"{APP}--v2", True),
                (f"{APP}--v1", False),
            ]
            clean_up(again, state)


def test_replicas_are_adopted_not_restarted(state: Path) -> None:
    with a_control(state) as control:
        put(control, "v1", 2)
        provisioned(control, f"{APP}--v1")
        before = sorted(replica_processes(state))
        control.kill()
        with a_control(state) as again:
            assert routes(again)[APP] == {f"{APP}--v1": 2}  # ready from the first moment
            assert sorted(replica_processes(state)) == before
            os.kill(before[0], signal.SIGKILL)  # an adopted one is watched like our own
            until(lambda: len(replica_processes(state)) == 2 and not is_alive(before[0]))
            until(lambda: routes(again)[APP] == {f"{APP}--v1": 2})
            clean_up(again, state)


def test_a_planned_restart_keeps_replicas_and_a_second_control_is_refused(state: Path) -> None:
    with a_control(state) as control:
        put(control, "v1", 1)
        provisioned(control, f"{APP}--v1")
        second = a_control(state)
        second.process.communicate(timeout=30)
        assert second.process.returncode == 2

        assert control.stop() == 0
        assert len(replica_processes(state)) == 1
        with a_control(state) as again:
            clean_up(again, state)


def test_a_second_up_on_the_same_state_is_refused_and_harms_nothing(state: Path) -> None:
    settings = {"state": state / "s"}
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings) as up:
        second = run("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings)

        assert second.returncode == 2
        assert "another turnout uses" in second.stderr
        assert up.call("GET", "/readyz")[0] == 200
        assert "turnout_workers" in up.call("GET", "/metrics")[1]


def test_random_kills_never_lose_what_was_acknowledged(state: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    control = a_control(state).wait_ready()
    acknowledged = 0
    for n in range(1, 9):
        put(control, f"v{n}", 1 + n % 2, mode="multiple")
        acknowledged = n
        time.sleep(chance.uniform(0, 0.15))
        control.kill()
        control = a_control(state).wait_ready()
        names = {r["name"] for r in control.must("GET", f"/v1/apps/{APP}/revisions")["value"]}
        assert names == {f"{APP}--v{i}" for i in range(1, acknowledged + 1)}
    wanted = sum(1 + n % 2 for n in range(1, 9))
    for n in range(1, 9):
        provisioned(control, f"{APP}--v{n}")
    until(lambda: len(replica_processes(state)) == wanted)
    clean_up(control, state)
    assert control.stop() == 0

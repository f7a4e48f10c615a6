"""The wall clock of a control plane jumps by an hour, forth and back."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, is_alive, provisioned, template, until
from tests.system.test_ends import APP, put, ready, replicas

LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("faketime") is None or not LIBRARIES,
        reason="faketime is not installed (Debian package faketime)",
    ),
    pytest.mark.parametrize("jump", ["+3600", "-3600"]),
]


@pytest.fixture
def offset(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """How far the wall clock is off for what a test starts: a file that it may write."""
    offset = state / "offset"
    offset.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARIES[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return offset


def test_a_jump_of_the_wall_clock_fails_and_restarts_nothing(
    state: Path, offset: Path, jump: str
) -> None:
    never = {"image": "process:", "command": [sys.executable, "-c", "import time; time.sleep(999)"]}
    settings = {"on_exit": "stop", "progress_deadline_s": 300, "restart_backoff_s": 200}
    with Turnout("control", admin="127.0.0.1:0", state=state / "s", **settings) as control:
        put(control, template("v1"))
        provisioned(control, f"{APP}--v1")
        first = until(lambda: ready(control))
        put(control, {"revisionSuffix": "v2", "containers": [never]})
        waiting = until(lambda: replicas(control, "v2"))
        assert is_alive(control.process.pid)

        offset.write_text(jump)
        moved = f"/v1/apps/{APP}/revisions/{APP}--v1/restart"
        control.must("POST", moved)  # every wait that begins and ends across the jump
        until(lambda: (r := ready(control)) and r["name"] != first["name"])

        second = control.must("GET", f"/v1/apps/{APP}/revisions/{APP}--v2")
        assert second["provisioningState"] == "Provisioning", second
        assert [r["name"] for r in replicas(control, "v2")] == [r["name"] for r in waiting]
        until(lambda: [r["state"] for r in replicas(control)] == ["Ready"])


def test_a_fault_acts_as_long_as_was_asked_whatever_the_wall_clock_does(
    state: Path, offset: Path, jump: str
) -> None:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "state": state / "s", "workers": 1}
    with Turnout("up", **flags) as server:
        put(server, template("v1"))
        provisioned(server, f"{APP}--v1")
        fault = f"/v1/apps/{APP}/revisions/{APP}--v1/fault"
        answers = {"abortPercent": 100, "abortStatus": 418}
        server.must("PUT", fault, answers | {"seconds": 1800})
        until(lambda: server.get(f"{APP}.localhost")[0] == 418)

        offset.write_text(jump)
        assert server.get(f"{APP}.localhost")[0] == 418
        server.must("POST", f"/v1/apps/{APP}/revisions/{APP}--v1/restart")  # makes new routes
        before = replicas(server)[0]["name"]
        until(lambda: (r := ready(server)) and r["name"] != before)
        assert server.get(f"{APP}.localhost")[0] == 418

        offset.write_text("+0")
        server.must("PUT", fault, answers | {"seconds": 2})
        offset.write_text(jump)
        until(lambda: server.get(f"{APP}.localhost")[0] == 200)
        until(lambda: "fault" not in server.must("GET", f"/v1/apps/{APP}/revisions/{APP}--v1"))

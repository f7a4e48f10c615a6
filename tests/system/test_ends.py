"""Which ends of replicas count as restarts, and which do not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout, provisioned, template, until

pytestmark = pytest.mark.system

APP = "shop"

# Serves until the file SICK appears: then /live answers 500, and the file goes.
GETS_SICK = """
import http.server, os, pathlib
sick = pathlib.Path(os.environ["SICK"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if sick.exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        sick.unlink(missing_ok=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def a_control(state: Path, **settings: object) -> Turnout:
    return Turnout("control", admin="127.0.0.1:0", state=state / "s", **settings)


def put(control: Turnout, body_template: dict[str, Any]) -> None:
    configuration = {"ingress": {"targetPort": 80}}
    control.must(
        "PUT", f"/v1/apps/{APP}", {"configuration": configuration, "template": body_template}
    )


def replicas(control: Turnout, suffix: str = "v1") -> list[dict[str, Any]]:
    path = f"/v1/apps/{APP}/revisions/{APP}--{suffix}/replicas"
    found: list[dict[str, Any]] = control.must("GET", path)["value"]
    return found


def ready(control: Turnout) -> dict[str, Any] | None:
    return next((r for r in replicas(control) if r["state"] == "Ready"), None)


def test_clean_stops_count_as_no_restarts(state: Path) -> None:
    for n in range(4):
        with a_control(state, on_exit="stop", restart_backoff_s=120) as control:
            if n == 0:
                put(control, template("v1"))
                provisioned(control, f"{APP}--v1")
            replica = until(lambda: ready(control))
            assert replica["containers"][0]["restartCount"] == 0


def test_a_liveness_failure_counts_once_and_keeps_its_reason(state: Path) -> None:
    sick = state / "sick"
    live = {"path": "/live", "port": 80}
    container = {
        "image": "process:",
        "command": [sys.executable, "-c", GETS_SICK],
        "env": [{"name": "SICK", "value": str(sick)}],
        "probes": [
            {"type": "Startup", "tcpSocket": {"port": 80}, "periodSeconds": 1},
            {"type": "Readiness", "tcpSocket": {"port": 80}, "periodSeconds": 1},
            {"type": "Liveness", "httpGet": live, "periodSeconds": 1, "failureThreshold": 1},
        ],
    }
    with a_control(state, on_exit="stop") as control:
        put(control, {"revisionSuffix": "v1", "containers": [container]})
        first = until(lambda: ready(control))
        assert first["containers"][0]["restartCount"] == 0

        sick.touch()
        again = until(lambda: (r := ready(control)) and r["address"] != first["address"] and r)
        assert again["containers"][0]["restartCount"] == 1
    failures = control.stderr.decode().count("event=replica_failed")
    assert failures == 1, control.stderr.decode()


def test_an_app_made_anew_runs_its_own_code_and_not_what_ran_under_its_name(state: Path) -> None:
    with a_control(state, on_exit="stop", restart_backoff_s=0.1) as control:
        put(control, template("v1"))
        provisioned(control, f"{APP}--v1")
        broken = {"image": "process:", "command": [sys.executable, "-c", "raise SystemExit(7)"]}
        uid = control.must("GET", f"/v1/apps/{APP}/revisions/{APP}--v1")["uid"]

        control.must("DELETE", f"/v1/apps/{APP}")
        put(control, {"revisionSuffix": "v1", "containers": [broken]})

        path = f"/v1/apps/{APP}/revisions/{APP}--v1"
        failed = until(
            lambda: (r := control.must("GET", path))["provisioningState"] != "Provisioning" and r
        )
        assert failed["provisioningState"] == "Failed"
        assert failed["uid"] != uid


def test_up_keeps_its_processes_when_the_settings_file_says_so(state: Path) -> None:
    file = state / "turnout.toml"
    file.write_text('[control]\non_exit = "keep"\n')
    free = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "state": state / "s"}
    with Turnout("up", config=file, **free) as up:
        put(up, template("v1"))
        provisioned(up, f"{APP}--v1")
        first = until(lambda: ready(up))
    with Turnout("up", **free) as up:  # whose default is to stop them, and which finds it again
        again = until(lambda: ready(up))
        assert (again["name"], again["address"]) == (first["name"], first["address"])
        assert again["containers"][0]["restartCount"] == 0

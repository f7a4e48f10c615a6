"""Whatever an operator does to a replica, it answers what it was asked before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.plane import Plane
from tests.support.turnout import Turnout, marked, provisioned, until

# It knows nothing of TERM: what it is answering when it gets one is lost.
PLAIN = """
import http.server, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            open(sys.argv[1], "w").close()
            threading.Event().wait(4)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def an_app(begun: Path, suffix: str = "v1", mode: str = "single") -> dict[str, Any]:
    get = {"path": "/", "port": 80}
    probes = [
        {"type": "Startup", "httpGet": get, "periodSeconds": 1, "failureThreshold": 60},
        {"type": "Readiness", "httpGet": get, "periodSeconds": 1},
    ]
    command = [sys.executable, "-c", PLAIN, str(begun)]
    container = {"image": "process:", "probes": probes, "command": command}
    return {
        "configuration": {"activeRevisionsMode": mode, "ingress": {"targetPort": 80}},
        "template": {"revisionSuffix": suffix, "containers": [container]},
    }


def deploy(control: Turnout, app: str, begun: Path) -> None:
    control.must("PUT", f"/v1/apps/{app}", an_app(begun, "v2"))


def deactivate(control: Turnout, app: str, _: Path) -> None:
    control.must("POST", f"/v1/apps/{app}/revisions/{app}--v1/deactivate")


def restart(control: Turnout, app: str, _: Path) -> None:
    control.must("POST", f"/v1/apps/{app}/revisions/{app}--v1/restart")


def stop(control: Turnout, app: str, _: Path) -> None:
    control.must("POST", f"/v1/apps/{app}/stop")


def delete(control: Turnout, app: str, _: Path) -> None:
    control.must("DELETE", f"/v1/apps/{app}")


def leave_it_to_the_latest(control: Turnout, app: str, _: Path) -> None:
    single = {"configuration": {"activeRevisionsMode": "single"}}
    control.must("PATCH", f"/v1/apps/{app}", single)


ACTS: dict[str, Callable[[Turnout, str, Path], None]] = {
    "deployed": deploy,
    "deactivated": deactivate,
    "restarted": restart,
    "stopped": stop,
    "deleted": delete,
    "switched": leave_it_to_the_latest,
}


def test_a_request_in_flight_outlives_what_ends_its_replica(state: Path) -> None:
    plane = Plane(state)
    control, router = plane.control, plane.router
    begun = {app: state / f"{app}-begun" for app in ACTS}
    try:
        for app, act in ACTS.items():
            mode = "multiple" if act in (deactivate, leave_it_to_the_latest) else "single"
            control.must("PUT", f"/v1/apps/{app}", an_app(begun[app], mode=mode))
        control.must("PUT", "/v1/apps/switched", an_app(begun["switched"], "v2", "multiple"))
        provisioned(control, "switched--v2")
        until(lambda: all(router.get(f"{app}--v1.localhost")[0] == 200 for app in ACTS))
        with ThreadPoolExecutor(len(ACTS)) as clients:
            asked = {
                app: clients.submit(router.get, f"{app}--v1.localhost", "/slow") for app in ACTS
            }
            until(lambda: all(file.exists() for file in begun.values()))
            for app, act in ACTS.items():
                act(control, app, begun[app])
            answers = {app: answer.result()[0] for app, answer in asked.items()}
        assert answers == dict.fromkeys(ACTS, 200)
        # Only what was answered kept them alive.
        for app in ACTS:
            path = f"/v1/apps/{app}/revisions/{app}--v1/replicas"
            if app not in ("deleted", "restarted"):
                until(lambda path=path: not control.must("GET", path)["value"])
    finally:
        for app in ACTS:
            control.call("DELETE", f"/v1/apps/{app}")
        until(lambda: not marked(state, also=b"TURNOUT_REPLICA="))
        router.stop()
        control.stop()

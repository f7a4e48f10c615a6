"""An app, a record or a store that is ill costs itself: the others are served, changed and seen."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.plane import Plane, put
from tests.support.turnout import marked, until


@pytest.fixture
def plane(state: Path) -> Iterator[Plane]:
    """Two apps that serve; deleted at the end, with their replicas."""
    plane = Plane(state)
    try:
        plane.deploy("shop")
        plane.deploy("blog")
        yield plane
        for name in ("shop", "blog"):
            plane.control.must("DELETE", f"/v1/apps/{name}")
        until(lambda: not marked(state, also=b"TURNOUT_REPLICA="))
    finally:
        plane.router.stop()
        plane.control.stop()


def edit(state: Path, app: str, **changes: Any) -> None:
    """Change an app's record behind the control plane's back, while it does not run."""
    with sqlite3.connect(state / "s" / "control.db") as db:
        (doc,) = db.execute("SELECT doc FROM apps WHERE name = ?", (app,)).fetchone()
        new = orjson.dumps(orjson.loads(doc) | changes)
        db.execute("UPDATE apps SET doc = ? WHERE name = ?", (new, app))
    db.close()


def test_a_domain_of_another_app_is_refused_and_routers_go_on(plane: Plane) -> None:
    status, answer = put(plane.control, "thief", "v1", "blog")
    assert (status, answer["error"]["code"]) == (400, "InvalidParameterValue")
    assert "app blog" in answer["error"]["message"]

    plane.deploy("blog", "v2")
    for server in (plane.control, plane.router):
        assert server.call("GET", "/readyz") == (200, "ready\n")


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"faults": {"shop--v1": {"until": "tomorrow"}}}, "faults.shop--v1.until"),
        ({"configuration": 5}, "cannot be read"),
    ],
)
def test_a_bad_record_costs_its_own_app_and_is_named(
    plane: Plane, changes: dict[str, Any], because: str
) -> None:
    assert plane.control.stop() == 0
    edit(plane.state, "shop", **changes)
    plane.restart()

    plane.deploy("blog", "v2")
    assert plane.answers("shop") == "shop--v1"
    control = plane.control
    for path in ("/healthz", "/readyz"):
        status, text = control.call("GET", path)
        assert status == 200
        assert "app shop is quarantined" in text
        assert because in text
    assert 'turnout_quarantined{app="shop"} 1.0' in control.call("GET", "/metrics")[1]
    assert because in control.must("GET", "/v1/apps")["quarantined"]["shop"]


def test_with_a_state_that_cannot_be_written_replicas_are_restarted_and_health_says_so(
    plane: Plane,
) -> None:
    control = plane.control
    other = sqlite3.connect(plane.state / "s" / "control.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        status, answer = put(control, "blog", "v2")
        assert (status, answer["error"]["code"]) == (503, "StoreUnavailable")
        assert control.call("GET", "/readyz")[0] == 503
        assert "cannot be written" in control.call("GET", "/healthz")[1]

        (pid,) = replicas_of(plane, "shop")
        os.kill(pid, signal.SIGKILL)
        until(lambda: replicas_of(plane, "shop") not in ([], [pid]))
        until(lambda: plane.answers("shop") == "shop--v1")
        assert plane.answers("blog") == "blog--v1"
    finally:
        other.execute("ROLLBACK")
        other.close()
    until(lambda: control.call("GET", "/readyz") == (200, "ready\n"))
    plane.deploy("blog", "v2")


def replicas_of(plane: Plane, app: str) -> list[int]:
    return marked(plane.state, also=f"CONTAINER_APP_NAME={app}".encode())

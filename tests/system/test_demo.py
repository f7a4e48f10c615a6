"""What a new user sees first."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

from tests.support.turnout import Turnout, marked

# 6.5 points are five standard deviations of this many: one failure in a million runs
REQUESTS = 1000


def test_the_demo_splits_80_20_and_leaves_nothing_behind(state: Path) -> None:
    flags = ("--quiet", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with Turnout("demo", *flags, state=state / "s") as demo:
        seen = Counter(
            json.loads(demo.get("album-api.localhost")[2])["revision"] for _ in range(REQUESTS)
        )
        assert abs(seen["album-api--v1"] / REQUESTS - 0.8) < 0.065
        assert sum(seen.values()) == REQUESTS
        for host, revision in (
            ("album-api---staging.localhost", "album-api--v2"),
            ("album-api--v1.localhost", "album-api--v1"),
            ("album-api--v2.localhost", "album-api--v2"),
        ):
            for _ in range(20):
                assert json.loads(demo.get(host)[2])["revision"] == revision

        status, headers, _ = demo.get("nobody.localhost")
        assert (status, headers["X-Turnout-Error"]) == (404, "HostNotFound")
        _, _, page = demo.get("album-api.localhost", Accept="text/html")
        assert "<h1>album-api--v" in page
        replicas = demo.must("GET", "/v1/apps/album-api/revisions/album-api--v1/replicas")
        assert len(replicas["value"]) == 2
        assert demo.stop(signal.SIGINT) == 0
    assert marked(state) == []


def test_the_demo_ends_with_its_parent_even_when_that_is_killed(state: Path) -> None:
    demo = Turnout("demo", "--quiet", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    demo.wait_ready()
    assert len(marked(state)) >= 8  # launcher, control, router, workers, four replicas

    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.communicate(timeout=30)
    # the state fixture sees to it that all the others end by themselves

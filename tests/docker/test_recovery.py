"""Replicas that are killed, all of them: back as soon as may be, and said in time meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docker.conftest import docker, load_image
from tests.docker.engines import Engine
from tests.docker.test_runtime import body, containers
from tests.support.turnout import Turnout, provisioned, until

# A pause is longer than any test may take: who waits for one fails it.
FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "restart_backoff_s": 600}
KINDS = {"200", "NoReadyReplica", "UpstreamConnectFailed", "UpstreamReset"}


class Watch:
    """Asks the app again and again, as clients do that come back when they are told to."""

    def __init__(self, up: Turnout) -> None:
        self._up = up
        self.codes: Counter[str] = Counter()
        self.wrong: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile."""
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.wait(0.02):
                status, head, _ = self._up.get("web.localhost")
                self.codes[head.get("X-Turnout-Error", str(status))] += 1
                is_lost = head.get("X-Turnout-Error") == "UpstreamReset"  # who may say: try again?
                if status != 200 and not is_lost and head.get("Retry-After") != "1":
                    self.wrong.append(str(head))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield
        finally:
            is_over.set()
            asking.join()


def restarts(up: Turnout) -> list[int]:
    """How often each ready replica was started again."""
    found = up.must("GET", "/v1/apps/web/revisions/web--v1/replicas")["value"]
    return [r["containers"][0]["restartCount"] for r in found if r["state"] == "Ready"]


def test_replicas_that_are_killed_one_after_the_other_come_back_without_a_pause(
    state: Path, image: str
) -> None:
    with Turnout("up", state=state / "s", **FLAGS) as up:
        up.must("PUT", "/v1/apps/web", body("v1", image, replicas=2))
        provisioned(up, "web--v1")
        until(lambda: up.get("web.localhost")[0] == 200)
        watch = Watch(up)
        with watch.watching():
            for times in (1, 2, 3):
                for name in containers():
                    docker("kill", name)
                until(lambda n=times: restarts(up) == [n, n])  # type: ignore[misc]
            replicas = up.must("GET", "/v1/apps/web/revisions/web--v1/replicas")["value"]
            failures = [r["lastFailure"] for r in replicas]
            assert {f["reason"] for f in failures} == {"Killed"}
            assert all("killed (signal 9) at " in f["message"] for f in failures)
            assert all("Restarted at once." in f["message"] for f in failures)
            assert up.must("GET", "/v1/apps/web/revisions/web--v1")["restarts"] == 6
            name = 'turnout_replica_restarts_total{app="web",reason="Killed",'
            assert f'{name}revision="web--v1"}} 6.0' in up.call("GET", "/metrics")[1]
            until(lambda: up.get("web.localhost")[0] == 200)
        assert watch.codes.keys() <= KINDS, watch.codes
        assert not watch.wrong
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not containers())


def test_an_engine_that_is_restarted_brings_everything_back_without_a_pause(
    tmp_path: Path, state: Path
) -> None:
    """It ends the containers first, and spoils the attempts to start them again at once."""
    with (
        Engine(tmp_path) as own,
        own.entered(),
        Turnout("up", state=state / "s", docker_host=own.host, **FLAGS) as up,
    ):
        load_image(own.docker)
        up.must("PUT", "/v1/apps/web", body("v1", "turnout-test:1", replicas=2))
        provisioned(up, "web--v1")
        until(lambda: up.get("web.localhost")[0] == 200)
        watch = Watch(up)
        with watch.watching():
            own.stop()
            up.read_until(b"event=replica_failed .*\\n(.*\\n)*.*event=replica_failed ")
            own.start()
            until(lambda: len(restarts(up)) == 2)
            until(lambda: up.get("web.localhost")[0] == 200)
        assert watch.codes.keys() <= KINDS, watch.codes
        assert not watch.wrong
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not own.docker("ps", "-aq"))


def test_a_paused_container_leaves_the_rotation_until_it_goes_on(state: Path, image: str) -> None:
    """By default only a connection is asked for, and that the kernel of a paused one accepts."""
    with Turnout("up", state=state / "s", **FLAGS) as up:
        given = body("v1", image, replicas=2)
        del given["template"]["containers"][0]["probes"]
        up.must("PUT", "/v1/apps/web", given)
        provisioned(up, "web--v1")
        paused, other = containers()

        def serving() -> set[str]:
            (app,) = up.must("GET", "/table")["apps"]
            return {e["replica"] for r in app["revisions"] for e in r["endpoints"]}

        until(lambda: serving() == {paused, other})
        docker("pause", paused)
        until(lambda: serving() == {other})
        shown = up.must("GET", f"/v1/apps/web/revisions/web--v1/replicas/{paused}")
        assert "docker unpause" in shown["runningStateDetails"]
        assert all(other in up.get("web.localhost")[2] for _ in range(10))
        docker("unpause", paused)
        until(lambda: serving() == {paused, other})
        assert restarts(up) == [0, 0]
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not containers())


def test_replicas_that_are_removed_come_back_without_a_pause(state: Path, image: str) -> None:
    """Their names are in use until the engine has removed them, which it says too early."""
    with Turnout("up", state=state / "s", **FLAGS) as up:
        up.must("PUT", "/v1/apps/web", body("v1", image, replicas=2))
        provisioned(up, "web--v1")
        for times in (1, 2, 3):
            docker("rm", "-f", *containers())
            until(lambda n=times: restarts(up) == [n, n])  # type: ignore[misc]
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not containers())

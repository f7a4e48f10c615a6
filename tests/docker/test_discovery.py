"""Containers that somebody else runs: found by label, left in time, and no request is lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.compose import Compose
from tests.docker.conftest import docker
from tests.support.load import Load
from tests.support.turnout import Turnout, template, until

INGRESS = {"ingress": {"targetPort": 80}}


@pytest.fixture
def router(state: Path, image: str) -> Iterator[Turnout]:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    with Turnout("router", "--docker", state=state / "s", docker_resync_s=1, docker_absent_s=1,
                 **flags) as router:  # fmt: skip
        yield router


def start(name: str, image: str, *args: str, **labels: str) -> str:
    """A labelled container, as compose would start it; returns its id."""
    given = {"app": "web", "port": "8080", "probe.path": "/", "probe.interval": "200ms"} | {
        key.replace("_", "."): value for key, value in labels.items()
    }
    flags = [x for k, v in given.items() for x in ("--label", f"turnout.{k}={v}")]
    env = ("-e", "PORT=8080", "-e", f"CONTAINER_APP_REVISION={name}")
    return docker("run", "-d", "--name", name, "--label", "turnout.enable=true", *flags, *env,
                  *args, image)  # fmt: skip


def page(router: Turnout, host: str = "web.localhost") -> str:
    status, _, text = router.get(host)
    return text if status == 200 else ""


def test_containers_come_and_go(router: Turnout, image: str) -> None:
    assert router.get("web.localhost")[0] == 404
    start("one", image, revision="v1")
    until(lambda: "one" in page(router))
    start("two", image, revision="v2", label="next")
    until(lambda: "two" in page(router))  # the newest ready one serves
    assert "one" in page(router, "web--v1.localhost")
    assert "two" in page(router, "web---next.localhost")
    start("wrong", image, revision="v3", weight="many")
    problem = until(lambda: router.must("GET", "/table")["problems"])
    assert "turnout.weight" in problem[0]
    assert "turnout_discovery_conflicts 1.0" in router.call("GET", "/metrics")[1]
    assert "two" in page(router)
    docker("rm", "-f", "two")
    until(lambda: "one" in page(router))
    docker("rm", "-f", "one")
    until(lambda: router.get("web.localhost")[0] == 404)


def test_a_split_by_labels_is_kept(router: Turnout, image: str) -> None:
    start("one", image, revision="v1", weight="80")
    start("two", image, revision="v2", weight="20")
    until(lambda: {page(router).partition(" ")[0] for _ in range(50)} == {"one", "two"})
    (app,) = router.must("GET", "/table")["apps"]
    assert {r["name"]: r["weight"] for r in app["revisions"]} == {"web--v1": 80, "web--v2": 20}


def test_a_health_check_is_waited_for(router: Turnout, image: str) -> None:
    check = ("--health-cmd", "test -e /tmp/well", "--health-interval", "1s",
             "--health-retries", "1")  # fmt: skip
    start("one", image, *check, revision="v1")
    until(lambda: "unhealthy" in docker("ps", "--filter", "name=one", "--format", "{{.Status}}"))
    assert page(router) == ""
    docker("exec", "one", "/bin/touch", "/tmp/well")
    until(lambda: "one" in page(router))


async def test_a_rolling_update_loses_no_request(router: Turnout, image: str) -> None:
    """New containers start, then old ones are stopped: as `compose up --scale` and others do."""
    await asyncio.to_thread(start, "web-0", image, revision="v0")
    await asyncio.to_thread(until, lambda: "web-0" in page(router))
    load = Load(router.port, "web.localhost", 200)
    running = asyncio.create_task(load.run())
    for number in range(1, 9):
        await asyncio.to_thread(start, f"web-{number}", image, revision=f"v{number}")
        await asyncio.to_thread(until, lambda n=number: f"web-{n} " in page(router))
        await asyncio.to_thread(docker, "stop", "-t", "1", f"web-{number - 1}")
    load.stop()
    outcome = await running
    assert outcome.sent > 1000
    assert not outcome.failures, outcome


async def test_beside_a_control_plane(state: Path, image: str) -> None:
    """Both kinds of app are served, and a deploy is acknowledged in control's own versions."""
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "drain_timeout_s": 600}
    with Turnout("up", "--docker", state=state / "s", docker_resync_s=1, **flags) as up:
        start("one", image, revision="v1")
        start("theirs", image, app="shop", revision="v9")
        up.must("PUT", "/v1/apps/shop", {"configuration": INGRESS, "template": template("v1")})
        until(lambda: "shop--v1" in page(up, "shop.localhost"))
        until(lambda: "one" in page(up))
        load = Load(up.port, "web.localhost", 100)
        flowing = asyncio.create_task(load.run())

        def deploy_and_replace() -> None:
            up.must("PATCH", "/v1/apps/shop", {"template": template("v2")})
            until(lambda: "shop--v2" in page(up, "shop.localhost"))
            old = "/v1/apps/shop/revisions/shop--v1/replicas"
            until(lambda: not up.must("GET", old)["value"])  # no router uses it, one has said
            start("two", image, revision="v2")
            until(lambda: "two" in page(up))
            docker("stop", "-t", "1", "one")

        await asyncio.to_thread(deploy_and_replace)
        load.stop()
        outcome = await flowing
        assert not outcome.failures, outcome
        problems = up.must("GET", "/table")["problems"]
        assert "shop: containers are left out" in str(problems), problems


COMPOSE = """
services:
  web:
    image: $APP_IMAGE
    environment: { PORT: "8080", CONTAINER_APP_REVISION: $APP_IMAGE }
    stop_grace_period: 1s
    labels:
      turnout.enable: "true"
      turnout.probe.path: /
      turnout.probe.interval: 200ms
"""


async def test_compose_scales_and_updates_without_a_lost_request(
    router: Turnout, image: str, tmp_path: Path
) -> None:
    """Start first, stop after: compose itself would stop a container before its successor runs."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    docker("tag", image, "turnout-test:2")

    def replicas(revision: str) -> int:
        (app,) = router.must("GET", "/table")["apps"]
        return sum(len(r["endpoints"]) for r in app["revisions"] if r["name"] == revision)

    with Compose(tmp_path / "compose.yaml", APP_IMAGE=image) as compose:

        def scale(number: int, *flags: str) -> None:
            compose("up", "-d", "--scale", f"web={number}", *flags)

        def scale_and_update() -> None:
            scale(3)
            until(lambda: replicas("web--v1") == 3)
            scale(2)
            until(lambda: replicas("web--v1") == 2)
            old = compose("ps", "-q", "web").split()
            compose.variables["APP_IMAGE"] = "turnout-test:2"
            scale(4, "--no-recreate")
            until(lambda: replicas("web--v2") == 2 and "test:2" in page(router))
            docker("stop", *old)
            until(lambda: replicas("web--v1") == 0)

        await asyncio.to_thread(scale, 1)
        await asyncio.to_thread(until, lambda: "test:1" in page(router))
        load = Load(router.port, "web.localhost", 200)
        flowing = asyncio.create_task(load.run())
        await asyncio.to_thread(scale_and_update)
        load.stop()
        outcome = await flowing
    assert outcome.sent > 500
    assert not outcome.failures, outcome


async def test_an_app_that_is_recreated_is_never_unknown(
    state: Path, image: str, tmp_path: Path
) -> None:
    """Its only container is ended before the next one runs: 503 for a while, and never 404."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    with (
        Turnout("router", "--docker", state=state / "s", **flags) as router,
        Compose(tmp_path / "compose.yaml", APP_IMAGE=image) as compose,
    ):

        def recreate() -> None:
            before = compose.container("web")
            compose("up", "-d", "--force-recreate")
            assert compose.container("web") != before
            until(lambda: page(router))

        await asyncio.to_thread(compose, "up", "-d")
        await asyncio.to_thread(until, lambda: page(router))
        load = Load(router.port, "web.localhost", 200)
        flowing = asyncio.create_task(load.run())
        await asyncio.to_thread(recreate)
        load.stop()
        outcome = await flowing
    assert outcome.statuses[503] > 0  # else nothing was tried
    assert outcome.statuses[404] == 0

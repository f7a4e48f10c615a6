"""Deploys that go wrong in ways that only containers have: a wrong port, an image, a tag."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.docker.conftest import IMAGE, docker
from tests.support.cli import Cli
from tests.support.load import Load
from tests.support.turnout import TURNOUT, Turnout, environment, until

NO_REGISTRY = "127.0.0.1:1"  # refuses at once
# Far below the ten minutes that a user has to mend it.
QUICK = {"restart_backoff_s": 0.2, "max_backoff_s": 1, "progress_deadline_s": 8}
FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "drain_timeout_s": 5}
FIRST = ("--image", IMAGE, "--target-port", "8080", "--env", "LISTEN=8080", "--probe-path", "/",
         "--revision-suffix", "v1")  # fmt: skip


@pytest.fixture
def up(image: str, state: Path) -> Iterator[Turnout]:
    with Turnout("up", state=state / "s", **FLAGS, **QUICK) as up:
        yield up
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not docker("ps", "-aq"))


@pytest.fixture
def cli(up: Turnout) -> Cli:
    return Cli(up.server)


def serves(up: Turnout, name: str) -> None:
    until(lambda: name in up.get("web.localhost")[2])


def addresses(cli: Cli, revision: str) -> list[str]:
    """The ports of the replicas that take requests."""
    listed = cli.json("replica", "list", "web", "--revision", revision)
    return [r["address"].rpartition(":")[2] for r in listed if r["state"] == "Ready"]


def restart(cli: Cli) -> None:
    """Until nothing but new replicas are left, and they answer."""
    before = {r["name"] for r in cli.json("replica", "list", "web", "--revision", "web--v1")}
    cli("revision", "restart", "web", "--revision", "web--v1")

    def is_done() -> bool:
        now = cli.json("replica", "list", "web", "--revision", "web--v1")
        is_new = not before & {r["name"] for r in now}
        return is_new and all(r["state"] == "Ready" for r in now)

    until(is_done)


def target_port(cli: Cli) -> int:
    port: int = cli.json("app", "show", "web")["configuration"]["ingress"]["targetPort"]
    return port


async def under_load(up: Turnout, what: Callable[[], Any]) -> None:
    """Do something while requests come: none may fail."""
    load = Load(up.port, "web.localhost", 100)
    running = asyncio.create_task(load.run())
    try:
        await asyncio.to_thread(what)
    finally:
        load.stop()
        outcome = await running
    assert outcome.sent > 50
    assert not outcome.failures, outcome


async def test_a_wrong_port_fails_the_deploy_and_not_the_users(up: Turnout, cli: Cli) -> None:
    cli("deploy", "web", *FIRST)
    serves(up, "web--v1")

    def wrong_and_back() -> None:
        said = cli.fails("deploy", "web", "--target-port", "9999", "--revision-suffix", "v2")
        assert "The TargetPort 9999 does not match the listening port 8080." in said
        assert target_port(cli) == 8080
        restart(cli)  # who serves survives that, too
        cli("deploy", "web", "--target-port", "8080", "--env", "COLOR=x", "--revision-suffix", "v2")

    await under_load(up, wrong_and_back)
    serves(up, "web--v2")
    assert addresses(cli, "web--v2") == ["8080"]


async def test_a_rollback_drops_a_deploy_with_a_wrong_port(up: Turnout, cli: Cli) -> None:
    cli("deploy", "web", *FIRST)
    serves(up, "web--v1")

    def wrong_and_back() -> None:
        cli("deploy", "web", "--target-port", "9999", "--revision-suffix", "v2", "--no-wait")
        assert "web--v1 serves" in cli("rollback", "web")
        assert target_port(cli) == 8080
        until(lambda: not cli.json("replica", "list", "web", "--revision", "web--v2"))

    await under_load(up, wrong_and_back)
    assert [r["name"] for r in cli.json("revision", "list", "web")] == ["web--v1"]


async def test_a_probe_on_another_port_is_not_enough(up: Turnout, cli: Cli) -> None:
    """The port alone is changed, as `az containerapp ingress update` does."""
    cli("deploy", "web", *FIRST)
    serves(up, "web--v1")

    def wrong_and_back() -> None:
        cli("ingress", "update", "web", "--target-port", "9999")
        until(lambda: len(cli.json("replica", "list", "web")) == 2)
        app = until(
            lambda: (a := cli.json("app", "show", "web"))["provisioningState"] == "Failed" and a
        )
        assert "target port 9999 was taken back" in app["provisioningError"]
        assert "does not match the listening port 8080" in app["provisioningError"]
        assert target_port(cli) == 8080

    await under_load(up, wrong_and_back)
    until(lambda: len(cli.json("replica", "list", "web")) == 1)
    assert addresses(cli, "web--v1") == ["8080"]
    assert [r["name"] for r in cli.json("revision", "list", "web", "--all")] == ["web--v1"]


async def test_a_right_port_takes_over_without_a_new_revision(up: Turnout, cli: Cli) -> None:
    ports = [p for p in FIRST if p not in ("--probe-path", "/", "--env", "LISTEN=8080")]
    cli("deploy", "web", *ports)  # it listens where PORT says
    serves(up, "web--v1")
    await under_load(up, lambda: cli("deploy", "web", "--target-port", "9000"))
    assert addresses(cli, "web--v1") == ["9000"]
    await under_load(up, lambda: cli("deploy", "web", "--target-port", "8080"))
    assert addresses(cli, "web--v1") == ["8080"]


def test_a_move_to_a_port_that_somebody_cancels_does_not_say_that_it_was_made(
    up: Turnout, cli: Cli
) -> None:
    cli("deploy", "web", *(word for word in FIRST if word not in ("--probe-path", "/")))
    command = [*TURNOUT, "deploy", "web", "--target-port", "9999"]
    given = {"env": environment(server=up.server), "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **given) as waiting:  # type: ignore[call-overload]
        until(lambda: cli.json("app", "show", "web")["provisioningState"] == "InProgress")
        cli("deploy", "web", "--cancel")
        why = waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 1
    assert "target port 9999 was given up; web stays at 8080" in " ".join(why.split())


def test_a_typo_in_the_image_does_not_use_the_suffix_up(up: Turnout, cli: Cli) -> None:
    cli("deploy", "web", *FIRST)
    bad = ("deploy", "web", "--image", f"{NO_REGISTRY}/typo:1", "--revision-suffix", "v2")
    assert "typo:1 cannot be pulled" in cli.fails(*bad)
    cli("deploy", "web", "--image", IMAGE, "--env", "COLOR=x", "--revision-suffix", "v2")
    serves(up, "web--v2")


def build(tag: str, marker: str) -> None:
    """Another image of that tag, whose label is the marker."""
    docker("build", "-q", "-t", tag, "-",
               data=f"FROM {IMAGE}\nLABEL built={marker}\n".encode())  # fmt: skip


def built(replica: str) -> str:
    return docker("inspect", "--format", '{{index .Config.Labels "built"}}', replica)


def test_an_image_that_was_built_anew_is_deployed(up: Turnout, cli: Cli) -> None:
    def running(revision: str) -> str:
        (replica,) = until(lambda: cli.json("replica", "list", "web", "--revision", revision))
        return built(replica["name"])

    build("mine:1", "first")
    first = [x if x != IMAGE else "mine:1" for x in FIRST]
    cli("deploy", "web", *first)
    again = cli.process("deploy", "web", "--image", "mine:1")
    assert "web is unchanged" in again.stderr
    assert "the same image" in again.stderr
    assert "--force" in again.stderr

    build("mine:1", "second")
    restart(cli)
    assert running("web--v1") == "first"  # a revision never changes
    cli("deploy", "web", "--image", "mine:1", "--revision-suffix", "v2")
    serves(up, "web--v2")
    assert running("web--v2") == "second"
    cli("rollback", "web")
    serves(up, "web--v1")
    assert running("web--v1") == "first"


def test_a_rollback_never_runs_another_image_under_the_old_name(up: Turnout, cli: Cli) -> None:
    """Its own was built anew since, and cleared away."""
    build("mine:1", "first")
    first = docker("inspect", "--format", "{{.Id}}", "mine:1")
    cli("deploy", "web", *[x if x != IMAGE else "mine:1" for x in FIRST])
    build("mine:1", "second")
    cli("deploy", "web", "--image", "mine:1", "--revision-suffix", "v2")
    serves(up, "web--v2")
    until(lambda: not cli.json("replica", "list", "web", "--revision", "web--v1"))
    docker("rmi", "-f", first)
    said = cli.fails("rollback", "web")
    assert "the image that web--v1 was made of is gone, and mine:1 is another one" in said
    assert "turnout revision copy web --from-revision web--v1" in said
    serves(up, "web--v2")
    assert target_port(cli) == 8080


def test_force_makes_a_revision_although_nothing_changed(up: Turnout, cli: Cli) -> None:
    mine = f"{NO_REGISTRY}/mine:1"  # it cannot be pulled, and is here
    docker("tag", IMAGE, mine)
    cli("deploy", "web", *[x if x != IMAGE else mine for x in FIRST])
    cli("deploy", "web", "--force", "--revision-suffix", "v2")
    serves(up, "web--v2")


def test_what_a_revision_of_an_earlier_version_is_made_of_is_seen(state: Path, image: str) -> None:
    build("mine:2", "first")
    with Turnout("up", state=state / "s", **FLAGS, **QUICK) as up:
        Cli(up.server)("deploy", "web", *[x if x != IMAGE else "mine:2" for x in FIRST])
    (file,) = (state / "s").rglob("control.db")
    with closing(sqlite3.connect(file)) as db, db:
        ((doc,),) = db.execute("SELECT doc FROM revisions").fetchall()
        was = orjson.loads(doc)
        assert was.pop("images").keys() == {"mine:2"}
        db.execute("UPDATE revisions SET doc = ?", (orjson.dumps(was),))
    with Turnout("up", state=state / "s", **FLAGS, **QUICK) as up:
        serves(up, "web--v1")
        cli = Cli(up.server)
        assert "the same image" in cli.process("deploy", "web", "--image", "mine:2").stderr
        build("mine:2", "second")
        cli("deploy", "web", "--image", "mine:2", "--revision-suffix", "v2")
        serves(up, "web--v2")
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not docker("ps", "-aq"))


def test_a_forced_deploy_says_that_its_image_could_not_be_pulled(up: Turnout, cli: Cli) -> None:
    name = f"{NO_REGISTRY}/mine:3"
    build(name, "first")
    cli("deploy", "web", *[x if x != IMAGE else name for x in FIRST])
    cli("deploy", "web", "--force", "--revision-suffix", "v2")
    serves(up, "web--v2")
    up.read_until(b"event=not_pulled .*mine:3 cannot be pulled")

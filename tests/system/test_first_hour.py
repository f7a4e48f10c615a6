"""A new user's first commands: what they are told, and that what is printed can be pasted."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import piped
from tests.support.relay import before_each_call
from tests.support.turnout import TURNOUT, Turnout, environment, provisioned, run, template, until

SETTINGS = {"configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}}}
FREE = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}


@pytest.fixture
def up(up: Turnout) -> Turnout:
    """Two revisions; all requests go to the older one."""
    rule = {"revisionName": "shop--v1", "weight": 100}
    up.must("PUT", "/v1/apps/shop", SETTINGS | {"template": template("v1")})
    up.must("PUT", "/v1/apps/shop/traffic", {"traffic": [rule]})
    up.must("PATCH", "/v1/apps/shop", {"template": template("v2")})
    for name in ("shop--v1", "shop--v2"):
        provisioned(up, name)
    return up


def cli(up: Turnout, *args: str) -> str:
    done = run(*args, server=up.server, state=up.settings["state"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_replicas_and_logs_are_of_what_serves_and_suffixes_do(up: Turnout) -> None:
    names = [r["name"] for r in json.loads(cli(up, "replica", "list", "shop", "-o", "json"))]
    assert [name.rpartition("-")[0] for name in names] == ["shop--v1"]
    assert "shop--v2-" in cli(up, "replica", "list", "shop", "--revision", "v2")
    cli(up, "logs", "shop", "--revision", "v2")
    cli(up, "label", "add", "shop", "--label", "next", "--revision", "v2")
    assert "shop--v2" in cli(up, "revision", "show", "shop", "--revision", "v2")
    for verb in ("restart", "deactivate", "activate"):
        cli(up, "revision", verb, "shop", "--revision", "v2")
    cli(up, "revision", "copy", "shop", "--from-revision", "v1", "--env", "A=b")


def test_addresses_are_urls_that_answer(up: Turnout) -> None:
    said = cli(up, "deploy", "shop", "--env", "COLOR=red", "--revision-suffix", "v3")
    (url,) = re.findall(r"shop answers at (http://\S+)", said)
    assert url == f"http://shop.localhost:{up.port}/"
    assert url in cli(up, "app", "list")
    assert cli(up, "wait", "--timeout", "10") == f"{up.server} is ready\n"


def test_what_is_not_there_is_waited_for_and_said(state: Path) -> None:
    done = run("wait", "--timeout", "0.1", "--server", "127.0.0.1:1", state=state)
    assert done.returncode == 1
    assert "is not ready after" in done.stderr


def test_followed_logs_end_with_their_replicas(up: Turnout) -> None:
    with piped("logs", "shop", "--follow", server=up.server) as following:
        up.must("POST", "/v1/apps/shop/stop")
        assert following.wait(timeout=60) == 0, following.communicate()


@pytest.mark.parametrize("flags", [[], ["--follow"]])
def test_logs_of_replicas_that_end_before_they_are_read_are_no_error(
    flags: list[str], up: Turnout
) -> None:
    def stop(path: str) -> None:
        if "/logs" in path:
            up.call("POST", "/v1/apps/shop/stop")
            replicas = "/v1/apps/shop/revisions/shop--v1/replicas"
            until(lambda: not up.must("GET", replicas)["value"])

    wrong = run("logs", "shop", "--container", "none", *flags, server=up.server)
    assert "no container none" in wrong.stderr
    with before_each_call(up.server, stop) as server:
        done = run("logs", "shop", *flags, server=server, token=up.token)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "error" not in done.stderr


def test_commands_that_the_demo_prints_work_as_pasted(state: Path) -> None:
    log = state / "out"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            [*TURNOUT, "demo", "--quiet", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            env=environment(), stdout=out, stderr=subprocess.DEVNULL, cwd=state,
        )  # fmt: skip
    try:
        said = until(lambda: (t := log.read_text()).count("\n") >= 7 and t)
        commands = [
            line.partition(" ")[2].strip() if line.startswith(("try", "API")) else line.strip()
            for line in said.splitlines()
            if " list " in line or "traffic set" in line or "curl" in line
        ]
        assert len(commands) == 3
        for command in commands:
            done = subprocess.run(
                ["sh", "-c", command], env=environment(), cwd=state, capture_output=True,
                text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stderr)
            assert "album-api--v1" in done.stdout
    finally:
        demo.terminate()
        demo.wait(timeout=60)


def test_a_router_alone_lists_and_explains_its_apps(state: Path) -> None:
    file = state / "routes.toml"
    file.write_text(
        '[[app]]\nname = "web"\n[[app.revision]]\nname = "web--v1"\nweight = 100\n'
        'endpoints = ["127.0.0.1:1"]\n'
    )
    with Turnout("router", "--routes", str(file), state=state / "s", workers=1, **FREE) as router:
        assert "http://web.localhost" in cli(router, "app", "list")
        said = cli(router, "explain", "http://web.localhost/")
        assert "leads to app web" in said
        assert "web--v1" in said

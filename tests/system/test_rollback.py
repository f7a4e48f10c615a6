"""Deploys that go wrong at the command line: undone, cancelled, corrected."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import Cli, piped
from tests.support.turnout import Turnout, until

NEVER_READY = ("--image", "process:", "--command", "sleep", "--command", "600")


def deploy(cli: Cli, suffix: str, *more: str, image: str = "process:demo") -> str:
    return cli("deploy", "shop", "--image", image, "--revision-suffix", suffix,
               "--probe-path", "/healthz", *more)  # fmt: skip


def deploy_for_ever(cli: Cli, suffix: str, *more: str) -> None:
    """A deploy that runs and never answers."""
    cli("deploy", "shop", *NEVER_READY, "--revision-suffix", suffix, "--no-wait", *more)


def states(cli: Cli) -> dict[str, Any]:
    found = cli.json("revision", "list", "shop", "--all")
    return {r["name"].partition("--")[2]: r["active"] for r in found}


def test_rollback_drops_an_unfinished_deploy_and_goes_further_back(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    deploy(cli, "v2", "--env", "COLOR=blue")
    deploy_for_ever(cli, "v3")
    began = time.monotonic()
    said = cli("rollback", "shop")

    assert time.monotonic() - began < 15  # and not the 240 s that v3 has
    assert "shop--v2 serves" in said
    assert "record" in said
    assert states(cli) == {"v1": False, "v2": True, "v3": False}
    assert "shop--v2" in up.get("shop.localhost")[2]

    said = cli("rollback", "shop")
    assert "shop--v1 serves" in said
    until(lambda: "shop--v1" in up.get("shop.localhost")[2])
    back = re.search(r"turnout rollback shop --to \d+", said)
    assert back is not None
    said = cli.fails("rollback", "shop")
    assert "nothing further back" in said
    assert "shop--v1 serves" in said
    cli(*back.group().split()[1:])
    until(lambda: "shop--v2" in up.get("shop.localhost")[2])


@contextmanager
def deploying(up: Turnout, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A deploy in a terminal of its own, once it waits."""
    with piped("deploy", "shop", *args, server=up.server) as process:
        assert process.stderr is not None
        assert any("Starting" in line for line in process.stderr), process.wait()
        yield process


def test_interrupting_a_deploy_says_what_goes_on_and_how_to_cancel(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    with deploying(up, *NEVER_READY, "--revision-suffix", "v2") as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "shop--v2 goes on" in said
    assert "turnout deploy shop --cancel" in said
    assert "Traceback" not in said
    assert states(cli) == {"v1": True, "v2": True}

    said = cli("deploy", "--cancel", "shop")
    assert "shop--v2 is dropped; shop--v1 serves" in said
    assert states(cli) == {"v1": True, "v2": False}
    assert "no deploy of app shop is under way" in cli.fails("deploy", "shop", "--cancel")
    assert "there is no app nobody" in cli.fails("deploy", "nobody", "--cancel")


def test_whoever_waits_for_a_deploy_that_is_superseded_is_told(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    with deploying(up, *NEVER_READY, "--revision-suffix", "v2") as process:
        newer = cli.process("deploy", "shop", "--no-wait", "--env", "A=1",
                            "--revision-suffix", "v3")  # fmt: skip
        assert "shop--v3 builds on shop--v2, which is not ready" in newer.stderr
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "shop--v2 was deactivated before it was ready" in said


def test_the_next_deploy_builds_on_what_serves(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1", "--env", "COLOR=blue", "--env", "SIZE=1")
    script = ("--command", "sh", "--command", "-c", "--command", "exit 3")
    cli.fails("deploy", "shop", "--image", "process:", *script, "--env", "BAD=1",
              "--revision-suffix", "v2")  # fmt: skip
    said = cli.process("deploy", "shop", "--env", "COLOR=red", "--revision-suffix", "v2").stderr

    assert "shop--v2 builds on shop--v1, and not on the shop--v2 before it, which" in said
    container = cli.json("app", "show", "shop")["template"]["containers"][0]
    variables = {v["name"]: v["value"] for v in container["env"]}
    assert (container["image"], variables) == ("process:demo", {"COLOR": "red", "SIZE": "1"})
    until(lambda: "shop--v2" in up.get("shop.localhost")[2])


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (("--set-env-vars", "C=3"), {"A": "1", "B": "2", "C": "3"}),
        (("--remove-env-vars", "A"), {"B": "2"}),
        (("--remove-env-vars", "A", "--env", "C=3"), {"B": "2", "C": "3"}),
        (("--replace-env-vars", "C=3"), {"C": "3"}),
        (("--remove-all-env-vars",), {}),
    ],
)
def test_variables_are_set_removed_and_replaced(
    cli: Cli, flags: tuple[str, ...], left: dict[str, str]
) -> None:
    deploy(cli, "v1", "--env", "A=1", "--env", "B=2")
    cli("deploy", "shop", "--no-wait", *flags)
    container = cli.json("app", "show", "shop")["template"]["containers"][0]
    assert {v["name"]: v["value"] for v in container.get("env", [])} == left


def test_an_unknown_variable_cannot_be_removed(cli: Cli) -> None:
    deploy(cli, "v1", "--env", "A=1")
    said = cli.fails("deploy", "shop", "--remove-env-vars", "B", code=2)
    assert "there is no variable B to remove; there are: A" in said


def test_a_printed_app_can_be_changed_and_applied(cli: Cli, up: Turnout, tmp_path: Path) -> None:
    deploy(cli, "v1", "--env", "COLOR=blue", "--secrets", "db=geheim")
    file = tmp_path / "app.yaml"
    file.write_text(cli("app", "show", "shop", "-o", "yaml"))
    assert "nothing would change" in cli("plan", "-f", str(file))
    cli("apply", "-f", str(file))
    assert states(cli) == {"v1": True}

    content = yaml.safe_load(file.read_text())
    content["template"]["containers"][0]["env"][0]["value"] = "red"
    file.write_text(yaml.safe_dump(content))
    cli("apply", "-f", str(file))
    (serving,) = cli.json("revision", "list", "shop")
    assert serving["name"] != "shop--v1"
    assert serving["template"]["containers"][0]["env"] == [{"name": "COLOR", "value": "red"}]
    assert up.must("POST", "/v1/apps/shop/listSecrets")["value"] == [
        {"name": "db", "value": "geheim"}
    ]


def test_nobody_is_said_to_serve_an_app_that_is_stopped(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    deploy(cli, "v2", "--env", "COLOR=blue")
    cli("app", "stop", "shop")
    stopped = cli.json("journal", "shop")[0]["number"]
    cli("app", "start", "shop")
    until(lambda: up.get("shop.localhost")[0] == 200)
    said = cli("rollback", "shop", "--to", str(stopped))
    assert up.get("shop.localhost")[0] == 503
    assert "nobody serves" in said

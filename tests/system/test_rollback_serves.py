"""What a rollback says at the command line is what serves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.cli import Cli
from tests.support.turnout import TURNOUT, Turnout, environment, until
from tests.system.test_rollback import deploy, deploy_for_ever


def test_after_stop_and_start_a_rollback_loses_nothing(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    deploy(cli, "v2", "--env", "COLOR=blue")
    cli("app", "stop", "shop")
    cli("app", "start", "shop")
    until(lambda: up.get("shop.localhost")[0] == 200)
    assert "shop--v1 serves" in cli("rollback", "shop")
    assert up.get("shop.localhost")[0] == 200


def deploy_while(cli: Cli, suffix: str, condition: str) -> None:
    """A revision that starts only as long as a shell's condition holds."""
    script = f"{condition} || exit 3; exec python3 -m http.server $PORT --bind 127.0.0.1"
    command = ("--command", "sh", "--command", "-c", "--command", script)
    cli("deploy", "shop", "--image", "process:", *command, "--revision-suffix", suffix)


def test_one_that_failed_says_so_and_one_that_waits_too(cli: Cli, up: Turnout, state: Path) -> None:
    flag = state / "flag"
    flag.touch()
    deploy_while(cli, "v1", f"test -e {flag}")
    deploy_while(cli, "v2", "true")
    flag.unlink()
    assert "goes back to record" in cli("rollback", "shop", "--no-wait")
    said = cli.fails("rollback", "shop")
    assert "shop--v1 did not become ready" in said
    assert "as after record" not in said
    assert up.get("shop.localhost")[0] == 200


@pytest.mark.parametrize("how", ["cancel", "deploy"])
def test_one_that_somebody_gave_up_says_so(cli: Cli, up: Turnout, state: Path, how: str) -> None:
    flag = state / "flag"
    flag.touch()
    deploy_while(cli, "v1", f"while ! test -e {flag}; do sleep 0.1; done; true")
    deploy(cli, "v2")
    flag.unlink()
    command = [*TURNOUT, "rollback", "shop"]
    given = {"env": environment(server=up.server), "stdout": PIPE, "stderr": PIPE, "text": True}
    with subprocess.Popen(command, **given) as waiting:  # type: ignore[call-overload]
        until(lambda: cli.json("app", "show", "shop")["provisioningState"] == "InProgress")
        if how == "cancel":
            cli("deploy", "shop", "--cancel")
        else:
            deploy(cli, "v3", "--env", "A=1")
        said, why = waiting.communicate(timeout=60)
    assert waiting.returncode == 1, said
    assert "as after record" not in said
    assert re.search(r"the rollback to record \d+ was given up", " ".join(why.split()))


def test_the_record_that_is_named_is_what_serves(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    deploy_for_ever(cli, "v2")
    cli("deploy", "shop", "--cancel")
    deploy(cli, "v2", "--env", "FIXED=1")
    deploy(cli, "v3", "--env", "FIXED=2")
    assert "shop--v2 serves" in cli("rollback", "shop")
    assert "shop--v1 serves" in cli("rollback", "shop")
    assert "nothing further back" in cli.fails("rollback", "shop")
    assert re.search(r"the rollback to record \d+ is complete", cli("journal", "shop"))

"""What the command line says at the moments when a user wonders what is going on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, run, until

DEMO = ("--image", "process:demo", "--probe-path", "/healthz")
# what it takes for a revision that never becomes ready, and one that fails at once
SLOW = ("--image", "process:", "--command", "sleep", "--command", "3600")
BROKEN = ("--image", "process:", "--command", "false")


class Cli:
    """`turnout …` against one server; standard output and errors as one text."""

    def __init__(self, up: Turnout) -> None:
        self._up = up

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return run(*args, server=self._up.server, state=self._up.settings["state"])

    def __call__(self, *args: str, code: int = 0) -> str:
        done = self.run(*args)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code, said
        return said


@pytest.fixture(scope="module")
def cli(shared_state: Path) -> Iterator[Cli]:
    settings = {"state": shared_state / "s", "restart_backoff_s": 0.1, "runtimes": "process"}
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings) as up:
        yield Cli(up)


def test_an_app_that_is_stopped_says_so_at_once(cli: Cli) -> None:
    cli("deploy", "can", *DEMO, "--revision-suffix", "v1")
    cli("app", "stop", "can")
    said = cli("deploy", "can", "--env", "A=1", "--revision-suffix", "v2", code=1)
    assert "app can is stopped, and can--v2 with it: turnout app start can" in said
    assert "it is stopped; start it: turnout app start can" in cli("status", "can")


def test_an_app_without_an_active_revision_does_not_start_silently(cli: Cli) -> None:
    cli("deploy", "idle", *DEMO, "--revision-suffix", "v1")
    assert "turnout app stop idle" in cli(
        "revision", "deactivate", "idle", "--revision", "v1", code=1
    )
    cli("app", "stop", "idle")
    cli("revision", "deactivate", "idle", "--revision", "v1")
    said = cli("app", "start", "idle", code=1)
    assert "turnout revision activate idle --revision idle--v1" in said
    assert "no revision is active" in cli("status", "idle")


def test_a_deploy_that_takes_too_long_says_what_to_do(cli: Cli) -> None:
    cli("deploy", "slow", *DEMO, "--revision-suffix", "v1")
    said = cli("deploy", "slow", *SLOW, "--revision-suffix", "v2", "--timeout", "0", code=1)
    assert "turnout status slow" in said
    assert "turnout deploy slow --cancel" in said
    assert "under way: slow--v2" in cli("status", "slow")
    said = cli("deploy", "slow", "--env", "A=1", "--revision-suffix", "v3", "--no-wait")
    assert "builds on slow--v2, which is not ready; to build on what serves" in said
    cli("deploy", "slow", "--cancel")
    assert "slow--v3 deactivated: its deploy is cancelled" in cli("journal", "slow")


def test_a_failed_revision_says_why(cli: Cli) -> None:
    cli("deploy", "sad", *DEMO, "--revision-suffix", "v1")
    cli("deploy", "sad", *BROKEN, "--revision-suffix", "v2", code=1)
    why = "was terminated with exit code '1'"
    assert why in cli("revision", "show", "sad", "--revision", "v2")
    status = cli("status", "sad")
    assert "single mode" in status
    assert "serves: sad--v1 100 %" in status
    assert "1 of 1" in status
    assert "sad--v2: " in status
    assert why in status
    assert "(no replica is ready)" not in status
    cli("deploy", "sadder", *BROKEN, "--revision-suffix", "v1", code=1)
    assert "serves: sadder--v1 100 % (no replica is ready)" in cli("status", "sadder")
    assert json.loads(cli.run("status", "sad", "-o", "json").stdout)["app"]["name"] == "sad"


def test_who_latest_means_is_shown_and_told_before_it_moves(cli: Cli) -> None:
    cli("deploy", "pin", *DEMO, "--revision-suffix", "v1", "--revisions-mode", "multiple")
    assert cli("traffic", "show", "pin").endswith("yes 100 pin--v1")
    said = cli("deploy", "pin", "--env", "A=1", "--revision-suffix", "v2")
    assert "pin--v2 takes 100 % once it is ready" in said
    assert "turnout traffic set pin --revision-weight pin--v1=100" in said
    cli("traffic", "set", "pin", "--revision-weight", "v2=100")
    said = cli("deploy", "pin", "--env", "A=2", "--revision-suffix", "v3")
    assert "once it is ready" not in said
    cli("revision", "set-mode", "pin", "--mode", "single")
    until(lambda: "InProgress" not in cli("app", "show", "pin"))
    cli("rollback", "pin")
    serves = cli("status", "pin").partition("serves: ")[2].split()[0]
    assert cli("traffic", "show", "pin").split()[-1] == serves


def test_a_program_beside_the_demo_is_refused(cli: Cli) -> None:
    said = cli("deploy", "two", "--image", "process:demo", "--command", "false", code=1)
    assert "give the image process: with it" in said
    cli("deploy", "two", "--image", "process:", "--command", "sleep", "--command", "9", "--no-wait")
    cli("deploy", "two", *DEMO)  # the command was another image's


def test_logs_of_a_silent_app_say_that_it_is_silent(cli: Cli) -> None:
    cli("deploy", "mute", *DEMO)
    assert "has written nothing yet" in cli("logs", "mute")

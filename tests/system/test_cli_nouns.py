"""The nouns that a day has not every day: secrets, ingress, copies, label history, logs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from tests.support.cli import Cli, piped
from tests.support.turnout import Turnout, run, until


@pytest.fixture
def cli(up: Turnout) -> Cli:
    cli = Cli(up.server)
    first = ("--image", "process:demo", "--revision-suffix", "v1", "--probe-path", "/healthz")
    cli("deploy", "shop", *first, "--revisions-mode", "multiple", "--secrets", "tint=blue",
        "--env", "COLOR=secretref:tint")  # fmt: skip
    return cli


def color(up: Turnout, host: str = "shop.localhost") -> str:
    return up.get(host)[2]


def test_a_secret_reaches_a_revision_after_a_restart_and_is_shown_to_nobody_else(
    up: Turnout, cli: Cli
) -> None:
    assert '"blue"' in color(up)
    assert cli.json("secret", "list", "shop") == [{"name": "tint"}]
    cli("secret", "set", "shop", "--secrets", "tint=heliotrope", "--secrets", "other=1")
    assert cli.json("secret", "show", "shop", "--secret-name", "tint")["value"] == "heliotrope"
    assert '"blue"' in color(up)
    cli("revision", "restart", "shop", "--revision", "shop--v1")
    until(lambda: '"heliotrope"' in color(up))

    assert "shop--v1 needs the secret tint" in cli.fails(
        "secret", "remove", "shop", "--secret-names", "tint"
    )
    cli("secret", "remove", "shop", "--secret-names", "other")
    for public in (cli("journal"), cli("app", "show", "shop", "-o", "json"), cli("app", "list")):
        assert "heliotrope" not in public
    assert "secret tint changed" in cli("journal")
    state = Path(str(up.settings["state"]))
    for file in (state / "control.db", state / "control.db-wal"):
        assert file.stat().st_mode & 0o077 == 0, f"{file} may be read by others"


def test_a_copy_is_of_the_named_revision_not_of_the_latest(up: Turnout, cli: Cli) -> None:
    cli("deploy", "shop", "--env", "COLOR=red", "--revision-suffix", "v2")
    cli("revision", "copy", "shop", "--from-revision", "shop--v1", "--revision-suffix", "v3")
    assert '"blue"' in color(up, "shop--v3.localhost")
    cli("revision", "copy", "shop", "--from-revision", "shop--v2", "--revision-suffix", "v4",
        "--env-vars", "EXTRA=1")  # fmt: skip
    made = cli.json("revision", "show", "shop", "--revision", "shop--v4")
    env = made["template"]["containers"][0]["env"]
    assert env == [{"name": "COLOR", "value": "red"}, {"name": "EXTRA", "value": "1"}]


def test_an_ingress_goes_and_comes_back_with_its_domains(up: Turnout, cli: Cli) -> None:
    cli("ingress", "update", "shop", "--hostname", "shop.example.com")
    assert "shop.example.com" in cli("ingress", "show", "shop")
    until(lambda: up.get("shop.example.com")[0] == 200)
    cli("ingress", "disable", "shop")
    until(lambda: up.get("shop.localhost")[0] == 404)
    assert "has no ingress" in cli("ingress", "show", "shop")
    shown = yaml.safe_load(cli("ingress", "enable", "shop", "--target-port", "8080", "-o", "yaml"))
    assert shown["targetPort"] == 8080
    until(lambda: up.get("shop.localhost")[0] == 200)


def test_a_labels_history_is_kept(cli: Cli) -> None:
    cli("deploy", "shop", "--env", "COLOR=red", "--revision-suffix", "v2")
    for revision in ("shop--v1", "shop--v2"):
        cli("label", "add", "shop", "--label", "prod", "--revision", revision)
    newest, oldest = cli.json("label", "history", "shop", "--label", "prod")
    assert (newest["revision"], newest["status"], "stop" in newest) == (
        "shop--v2", "Succeeded", False,
    )  # fmt: skip
    assert (oldest["revision"], oldest["stop"] >= oldest["start"]) == ("shop--v1", True)
    assert "no history" in cli.fails("label", "history", "shop", "--label", "nothing")


def test_logs_are_followed_until_the_replica_ends(up: Turnout) -> None:
    cli = Cli(up.server)
    script = "echo one; while [ ! -e $FLAG ]; do sleep 0.05; done; echo two; sleep 600"
    flag = Path(up.settings["state"]) / "flag"  # type: ignore[arg-type]
    cli("deploy", "job", "--image", "process:", "--command", "/bin/sh", "--command", "-c",
        "--command", script, "--env", f"FLAG={flag}", "--no-wait")  # fmt: skip
    (replica,) = until(lambda: cli.json("replica", "list", "job"))
    assert cli.json("replica", "show", "job", "--replica", replica["name"])["name"]
    until(lambda: "one" in cli("logs", "job"))
    with piped("logs", "job", "-f", server=up.server) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == f"{replica['name']}  one\n"
        flag.touch()
        assert following.stdout.readline() == f"{replica['name']}  two\n"
        assert run("app", "delete", "job", "--yes", server=up.server).returncode == 0
        assert following.wait(timeout=30) == 0


def test_top_shows_what_each_revision_does(up: Turnout, cli: Cli) -> None:
    with piped("top", "shop", "--interval", "2", "-o", "json", server=up.server) as top:
        while top.poll() is None:
            color(up)
        rows = {row["revision"]: row for row in json.loads(top.communicate()[0])}
    row = rows["shop--v1"]
    assert row["requests"] > 1
    assert row["errors"] == 0
    assert row["p50"] <= row["p99"]


def test_a_fault_acts_is_shown_and_ends(up: Turnout, cli: Cli) -> None:
    cli("fault", "set", "shop", "v1", "--abort", "503", "--for", "1h")
    refused = until(lambda: (page := up.get("shop.localhost"))[0] == 503 and page)
    assert refused[1]["X-Turnout-Error"] == "FaultInjected"
    assert cli.json("fault", "list", "shop")[0]["fault"]["abortPercent"] == 100
    assert "fault of revision shop--v1" in cli("journal")
    assert 'reason="FaultInjected"' in up.call("GET", "/metrics")[1]
    assert cli.json("explain", "http://shop.localhost/")["revisions"][0]["fault"]
    cli("fault", "clear", "shop", "v1")
    until(lambda: up.get("shop.localhost")[0] == 200)

    cli("fault", "set", "shop", "v1", "--delay", "400ms", "--percent", "100", "--for", "2s")
    until(lambda: seconds(up) >= 0.4)
    until(lambda: seconds(up) < 0.2)  # by itself
    until(lambda: cli.json("fault", "list", "shop") == [])
    assert "duration" in cli.fails("fault", "set", "shop", "v1", "--delay", "long", code=2)
    assert "abortStatus" in cli.fails("fault", "set", "shop", "v1", "--abort", "200")


def seconds(up: Turnout) -> float:
    began = time.monotonic()
    up.get("shop.localhost")
    return time.monotonic() - began

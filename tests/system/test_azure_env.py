"""`turnout azure-env`, with a program in az's place that notes what it is asked to do."""

from __future__ import annotations

import json
import os
import stat
import sys
import urllib.parse
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, run
from tests.system.test_az_wire import Az

AZ = f"""#!{sys.executable}
import json, os, pathlib, sys
args = [open(a[1:]).read() if a[0] == "@" else a for a in sys.argv[1:]]
names = ("AZURE_CONFIG_DIR", "REQUESTS_CA_BUNDLE", "WEBSOCKET_CLIENT_CA_BUNDLE", "NO_PROXY")
check = pathlib.Path(os.environ["AZURE_CONFIG_DIR"], "versionCheck.json")
call = {{"typed": sys.argv[1:], "args": args, "check": json.loads(check.read_text()),
         "environment": {{name: os.environ.get(name) for name in names}}}}
with open(os.environ["AZ_CALLS"], "a") as calls:
    calls.write(json.dumps(call) + "\\n")
if args[0] == "version":
    print(json.dumps({{"azure-cli": "2.91.0", "azure-cli-core": "2.91.0",
                       "azure-cli-telemetry": "1.1.0", "extensions": {{}}}}))
"""


def test_an_az_that_fails_leaves_no_password_behind(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "bin").mkdir()
    (state / "bin" / "az").write_text("#!/bin/sh\necho it does not work here >&2\nexit 1\n")
    (state / "bin" / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{state / 'bin'}:{os.environ['PATH']}")
    folder = state / "s"
    with Turnout("control", state=folder, admin="127.0.0.1:0", azure_port=0):
        done = run("azure-env", state=folder)
    assert done.returncode != 0
    assert "it does not work here" in done.stderr
    assert [p for p in folder.rglob("*") if p.name == "password"] == []


def test_az_is_given_an_endpoint_a_bearer_and_no_reason_to_call_out(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "bin").mkdir()
    (state / "bin" / "az").write_text(AZ)
    (state / "bin" / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{state / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("AZ_CALLS", str(state / "calls"))
    folder = state / "s"
    with Turnout("control", state=folder, admin="127.0.0.1:0", azure_port=0) as server:
        done = run("azure-env", state=folder)
        assert done.returncode == 0, done.stderr
        calls = [json.loads(line) for line in (state / "calls").read_text().splitlines()]

        # some of az's commands paste a path to the endpoint without a slash between
        (register,) = [c["args"] for c in calls if c["args"][:2] == ["cloud", "register"]]
        assert register[-1] == server.facts["azure"] + "/"
        az = Az(server, folder)
        assert az.get("//metadata/endpoints")["resourceManager"] == register[-1]

        (login,) = [c for c in calls if c["args"][0] == "login"]
        secret = login["args"][login["args"].index("-p") + 1]
        assert secret not in login["typed"], "it shows in the process list"
        form = urllib.parse.urlencode({"client_secret": secret})
        az.token = ""
        bearer = az.send("POST", "/adfs/oauth2/token", form)[2]["access_token"]
        assert az.send("GET", "/subscriptions")[0] == 401
        az.token = bearer
        assert az.send("GET", "/subscriptions")[0] == 200

        ca = str(folder / "azure" / "ca.pem")
        for line in (f"REQUESTS_CA_BUNDLE={ca}", f"WEBSOCKET_CLIENT_CA_BUNDLE={ca}"):
            assert f"export {line}" in done.stdout
        assert all(c["environment"]["WEBSOCKET_CLIENT_CA_BUNDLE"] == ca for c in calls)
        assert all(c["check"]["versions"] for c in calls), "az asks Microsoft when it is empty"

        config = folder / "azure" / "config"
        known = json.loads((config / "versionCheck.json").read_text())
        assert known["versions"] == {
            "azure-cli": {"local": "2.91.0"},
            "core": {"local": "2.91.0"},
            "telemetry": {"local": "1.1.0"},
        }
        written = datetime.strptime(known["update_time"], "%Y-%m-%d %H:%M:%S.%f")
        assert abs(datetime.now() - written) < timedelta(minutes=5)  # az compares local times
        assert stat.S_IMODE(config.stat().st_mode) == 0o700
        assert not (config / "password").exists()


def test_without_az_the_commands_to_run_elsewhere_are_shown(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(state))
    with Turnout("control", state=state / "s", admin="127.0.0.1:0", azure_port=0) as server:
        done = run("azure-env", "--state", str(state / "s"))
        assert done.returncode == 0, done.stderr
        password = state / "s" / "azure" / "config" / "password"
        assert f"-p @{password} " in done.stderr
        assert password.read_text() == server.token
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert server.token not in done.stderr + done.stdout


def test_the_token_endpoint_gives_nothing_to_who_knows_nothing(state: Path) -> None:
    with Turnout("control", state=state / "s", admin="127.0.0.1:0", azure_port=0) as server:
        az = Az(server, state / "s")
        for form in ("client_secret=x", "client_secret=", "client_id=y", "client_secret=%FF"):
            status, _, answer = az.send("POST", "/adfs/oauth2/token", form)
            assert (status, answer["error"]) == (401, "invalid_client")
            assert server.token not in json.dumps(answer)


def test_a_missing_token_is_said(state: Path) -> None:
    with Turnout("control", state=state / "s", admin="127.0.0.1:0", azure_port=0):
        (state / "s" / "token").rename(state / "kept")
        done = run("azure-env", state=state / "s")
        assert done.returncode == 1
        assert "no token in" in done.stderr
        assert "--state" in done.stderr
        (state / "kept").rename(state / "s" / "token")

"""The commonest mistakes of a new user: each is answered with what to type next."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.turnout import TURNOUT, Turnout, environment, provisioned, run, template

TRACES = re.compile(r"Traceback|Errno \d+\] No such|should be|valid integer|pydantic|aiohttp")
SETTINGS = {"configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}}}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turnout]:
    state = tmp_path_factory.mktemp("mistakes")
    settings = {"docker_host": f"unix://{state}/no-engine.sock", "runtimes": "docker,process"}
    with Turnout(
        "up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s", **settings
    ) as up:
        up.must("PUT", "/v1/apps/shop", SETTINGS | {"template": template("v1")})
        provisioned(up, "shop--v1")
        yield up


# what was typed, and what the answer has to say: the last is what to do
MISTAKES = [
    ("app show shpo", "there is no app shpo", "turnout app list"),
    ("logs shpo", "there is no app shpo", "turnout app list"),
    ("revision show shop --revision v9", "has no revision shop--v9", "it has shop--v1"),
    ("revision activate shop --revision v9", "has no revision shop--v9", "it has shop--v1"),
    ("label add shop --label x --revision v9", "has no revision shop--v9", "it has shop--v1"),
    ("traffic set shop --revision-weight v9=100", "no revision shop--v9", "the app has shop--v1"),
    ("traffic set shop --revision-weight v1=80", "sum to 80", "give the other 20 to"),
    ("traffic set shop --revision-weight v1=eighty", "is not NAME=WEIGHT", "album-api--v1=80"),
    ("traffic set shop", "give --revision-weight NAME=WEIGHT", "or --label-weight"),
    ("traffic set shop --label-weight blue=100", "label blue", "turnout label add shop --label"),
    ("revision set-mode shop --mode multi", "mode: write", "'single', 'multiple' or 'labels'"),
    ("revision set-mode shop", "Missing option '--mode'", "set-mode album-api --mode multiple"),
    ("revision show shop", "Missing option '--revision'", "--revision v2"),
    ("revison list shop", "No such command 'revison'", "Did you mean 'revision'"),
    ("revision lst shop", "No such command 'lst'", "turnout revision list album-api"),
    ("deploy shop --enviroment A=b", "No such option: --enviroment", "turnout deploy -h"),
    ("deploy shop --env COLOR", "is not NAME=VALUE", "such as COLOR=blue"),
    ("deploy new", "there is no app new yet", "create it with --image"),
    ("deploy My_App --image process:demo", "is no app name", "a-z, 0-9 and single dashes"),
    ("deploy new --image process:demo --memory 512M", "resources.memory", "such as 512Mi"),
    ("deploy new --image process:demo --cpu lots", "'lots' is not a number", "turnout deploy"),
    ("deploy shop --target-port http", "'http' is not a whole number", "--target-port 80"),
    ("deploy shop --env A=b --revision-suffix v1", "suffix v1 already exists", "choose another"),
    ("deploy new --image nginx:1.27 --target-port 80", "no Docker Engine at", "start it"),
    ("deploy new --image nginx:1.27", "no Docker Engine at", "give targetPort"),
    ("deploy new --image endpoint:10.0.0.1:80", "endpoint", "--runtimes"),
    ("deploy new --image process:deno", "'process:deno'", "process:demo"),
    ("secret set shop --secrets DB=hunter2", "secret's name in a-z", "such as db-password"),
    ("secret set shop DB=hunter2", "Missing option '--secrets'", "--secrets db-password=hunter2"),
    ("ingress enable shop --type private", "'private' is neither external", "write one of them"),
    ("fault set shop v1 --delay 200", "no duration", "such as 200ms"),
    ("rollback shop --to v1", "'v1' is not a whole number", "turnout journal"),
    ("rollback shop --to 9999", "no record 9999", "turnout journal shop"),
    ("deploy shop --env-vars A=1 B=2", "unexpected extra argument", "repeat it for each"),
    ("traffic set shop --revision-weight v1=50 v2=50", "unexpected", "repeat it for each"),
    ("revision list -n shop", "No such option: -n", "is an argument"),
    ("revision list --name shop", "No such option: --name", "is an argument"),
    ("rollback shpo", "there is no app shpo", "turnout app list"),
    ("explain http://shpo.localhost/", "No app answers", "turnout app list"),
    ("apply -f nowhere.yaml", "cannot read nowhere.yaml", "No such file"),
    ("restore nowhere.backup", "no file nowhere.backup", "turnout backup FILE"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "what", "then"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_answered_with_what_to_do(
    up: Turnout, typed: str, what: str, then: str
) -> None:
    done = run(*typed.split(), server=up.server, state=up.settings["state"])
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode != 0) is ("explain" not in typed)
    assert what in said
    assert then in said
    assert "hunter2" not in said.replace("db-password=hunter2", "")
    assert not TRACES.search(said.replace("No such file", ""))


YAML = {
    "nothing": ("", "holds no app"),
    "no YAML": ("name: [", "is no YAML"),
    "a typo": ("name: shop\nproperties: {template: {containers: [{imgae: x}]}}", "imgae is not"),
    "no name": ("properties: {template: {containers: [{image: x}]}}", "add `name:`"),
}


@pytest.mark.parametrize("content", YAML.values(), ids=YAML)
def test_a_bad_file_is_answered_with_what_to_write(
    up: Turnout, tmp_path: Path, content: tuple[str, str]
) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(content[0])
    done = run("apply", "-f", str(file), server=up.server, state=up.settings["state"])
    assert done.returncode == 1
    assert content[1] in " ".join(done.stderr.split())


def test_a_command_line_in_one_word_is_taken_apart(up: Turnout) -> None:
    command = ("--command", "python3 -m http.server $PORT")
    done = run("deploy", "web", "--image", "process:", *command, server=up.server)
    assert done.returncode == 2
    assert "--command python3 --command -m --command http.server" in done.stderr
    assert "--command sh --command -c --command 'python3 -m http.server $PORT'" in done.stderr


def test_tls_to_an_admin_port_is_told(up: Turnout) -> None:
    done = run("app", "list", "--server", up.server.replace("http:", "https:"))
    assert f"an admin port speaks plain HTTP: --server {up.server}" in done.stderr


def test_check_names_every_bad_setting_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "turnout.toml"
    file.write_text('workres = 3\n[control]\non_exit = "leave"\nazure_prot = 1\n')
    done = run("check", str(file))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{file}:1: there is no setting workres; did you mean workers?",
        f"{file}:3: on_exit: 'leave' is neither keep nor stop",
        f"{file}:4: there is no setting azure_prot; did you mean azure_port?",
    ]
    file.write_text('workers = -1\n[control]\non_exit = "leave"\n')
    assert run("check", str(file)).stderr.splitlines() == [
        f"{file}:1: workers: -1 is not within 0 to 1024",
        f"{file}:3: on_exit: 'leave' is neither keep nor stop",
    ]


def test_check_names_all_that_is_wrong_with_a_settings_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "turnout.toml"
    file.write_text(
        'workres = 3\nworkers = -1\nlisten = "here"\nvia = "x"\nlog_level = "loud"\n'
        'trusted_proxies = ["nginx", "10.0.0.1/8"]\n'
        '[control]\non_exit = "leave"\nruntimes = ["podman", "lxc"]\njournal_days = "x"\n'
        "journal_records = 0\n"
    )
    said = run("check", str(file)).stderr.splitlines()
    assert [line.removeprefix(f"{file}:").split(": ")[:2] for line in said] == [
        ["1", "there is no setting workres; did you mean workers?"],
        ["2", "workers"], ["3", "listen"], ["4", "via"], ["5", "log_level"],
        ["6", "trusted_proxies"], ["6", "trusted_proxies"], ["8", "on_exit"],
        ["9", "runtimes"], ["9", "runtimes"], ["10", "journal_days"], ["11", "journal_records"],
    ]  # fmt: skip


def test_a_wrong_token_is_told_from_a_missing_one(up: Turnout, tmp_path: Path) -> None:
    wrong = run("app", "list", server=up.server, token="wrong")
    assert wrong.returncode == 1
    assert "does not know the token of --token or TURNOUT_TOKEN" in wrong.stderr
    settings = {"server": up.server, "state": tmp_path / "elsewhere", "token": ""}
    none = run("app", "list", **settings)
    assert f"none was sent: {tmp_path}/elsewhere/token has none" in none.stderr
    assert "TURNOUT_STATE=DIR" in none.stderr
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "token").write_text("of-another-server\n")
    stale = run("app", "list", **settings)
    assert f"does not know the token of {tmp_path}/elsewhere/token" in stale.stderr


def test_the_api_tells_them_apart_too(up: Turnout) -> None:
    path = "/v1/apps"
    authorization = {"Authorization": "Bearer wrong"}
    wrong, missing = (ask(up, path, headers) for headers in (authorization, {}))
    assert wrong == ("InvalidAuthenticationToken", 'Bearer error="invalid_token"')
    assert missing == ("AuthenticationFailed", "Bearer")


def ask(up: Turnout, path: str, headers: dict[str, str]) -> tuple[str, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(up.server + path, headers=headers))
    with caught.value as error:
        return json.load(error)["error"]["code"], error.headers["WWW-Authenticate"]


def test_a_server_may_be_named_without_its_scheme(up: Turnout) -> None:
    host = up.server.removeprefix("http://")
    done = run("app", "list", "--server", host, state=up.settings["state"])
    assert done.returncode == 0, done.stderr
    assert "shop" in done.stdout


def test_no_server_says_how_to_start_one() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = run("app", "list", "--server", f"127.0.0.1:{closed.getsockname()[1]}")
    assert "no control plane answers" in done.stderr
    assert "turnout up" in done.stderr


def test_the_ingress_is_not_taken_for_a_control_plane(up: Turnout) -> None:
    done = run("app", "show", "shop", "--server", f"127.0.0.1:{up.port}")
    assert done.returncode == 1
    assert "the address of an admin port" in done.stderr


def test_a_taken_port_names_its_flag(up: Turnout, state: Path) -> None:
    admin, ingress = up.facts["admin"], up.facts["ingress"]
    for flag, flags in (
        ("--listen", ("--listen", ingress, "--admin", "127.0.0.1:0")),
        ("--admin", ("--listen", "127.0.0.1:0", "--admin", admin)),
    ):
        done = run("up", *flags, state=state / "second")
        assert done.returncode == 1, done.stderr
        assert f"give another with {flag}" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_directory_without_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    # Root may write everywhere, unless that is taken from it.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*(as_others if os.geteuid() == 0 else []), *TURNOUT, "up", "--listen", "127.0.0.1:0",
         "--admin", "127.0.0.1:0"],
        env=environment(state=tmp_path / "s"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "give another --state" in done.stderr


def test_a_directory_that_cannot_be_is_said() -> None:
    done = run("up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", state="/proc/turnout")
    assert done.returncode == 2
    assert "/proc/turnout cannot be written" in done.stderr
    assert "give another --state" in done.stderr

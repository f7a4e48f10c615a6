"""The API is a door: who gets in, who does not, and that this host's own commands do."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout, marked, provisioned, routes, run, template, until

FLAGS = {"admin": "127.0.0.1:0"}
SHELL = {
    "changes": [
        {
            "app": "shop",
            "method": "PUT",
            "body": {
                "configuration": {"ingress": {"targetPort": 80}},
                "template": {"containers": [{"image": "process:", "command": ["sh", "-c", "id"]}]},
            },
        }
    ]
}


def ask(server: Turnout, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """The status of one request with exactly these headers, and Host unless it is given."""
    host, _, port = server.facts["admin"].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in named, skip_accept_encoding=True)
    for name, value in named.items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with Turnout("control", state=state / "s", **FLAGS) as control:
        yield control


@pytest.fixture(scope="module")
def closed(shared_state: Path) -> Iterator[Turnout]:
    """A server for those who get nothing done."""
    with Turnout("control", state=shared_state / "s", **FLAGS) as control:
        yield control


# --- strangers


@pytest.mark.parametrize(
    "path", ["/v1/apps", "/v1/journal", "/table", "/v1/docs", "/docs/", "/subscriptions", "/x"]
)
def test_nothing_is_read_without_a_token_on_loopback_either(closed: Turnout, path: str) -> None:
    assert ask(closed, "GET", path) == 401
    assert ask(closed, "GET", path, Authorization="Bearer wrong") == 401


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_a_browser_reads_about_the_api_and_another_sites_page_does_not(
    control: Turnout, path: str
) -> None:
    assert ask(control, "GET", path, Sec_Fetch_Site="none") == 200
    assert ask(control, "GET", path, Sec_Fetch_Site="cross-site") == 403
    assert ask(control, "GET", path, Origin="http://localhost:3000") == 403
    assert ask(control, "GET", path, Host="rebound.example") == 421


def test_a_link_on_any_page_leads_to_the_console_and_nothing_else_of_it(control: Turnout) -> None:
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}
    assert ask(control, "GET", "/", **followed) == 200
    assert ask(control, "GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe") == 403
    assert ask(control, "GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="empty") == 403
    assert ask(control, "POST", "/", **followed) == 403
    assert ask(control, "GET", "/v1/apps", **followed, **control.authorization) == 403


def test_health_and_metrics_are_open_unless_they_are_protected(
    control: Turnout, state: Path
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(control, "GET", path) in (200, 503)
    with Turnout("control", state=state / "p", protect_metrics="yes", **FLAGS) as protected:
        assert ask(protected, "GET", "/metrics") == ask(protected, "GET", "/readyz") == 401
        assert ask(protected, "GET", "/metrics", **protected.authorization) == 200


@pytest.mark.parametrize("path", ["/v1/session", "/healthz"])
def test_a_stranger_has_no_large_body_kept_for_him(closed: Turnout, path: str) -> None:
    host, _, port = closed.facts["admin"].rpartition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for length in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(f"{head}{length}\r\n\r\n".encode())  # and nothing of it
            assert sock.recv(100).startswith(b"HTTP/1.1 413 ")
    wrong = b'{"token": "%s"}' % (b"x" * 1000)
    assert ask(closed, "POST", "/v1/session", wrong, Content_Type="application/json") == 401


def test_a_page_cannot_write_though_its_browser_would_send_it(control: Turnout) -> None:
    body = json.dumps(SHELL).encode()
    plain, token = {"Content_Type": "text/plain"}, control.authorization
    foreign = {"Origin": "http://localhost:3000"}
    assert ask(control, "POST", "/v1/transactions", body, **plain) == 401
    assert ask(control, "POST", "/v1/transactions", body, **plain, **token) == 415
    assert ask(control, "POST", "/v1/transactions", body, **plain, **foreign) == 403
    assert ask(control, "POST", "/v1/transactions", body, Host="evil.example:8081") == 421
    assert control.must("GET", "/v1/apps")["value"] == []


@pytest.mark.parametrize("path", ["/v1/apps", "/metrics", "/healthz", "/readyz"])
def test_rebound_names_and_foreign_pages_do_not_even_read_what_is_open(
    closed: Turnout, path: str
) -> None:
    good = closed.authorization
    assert ask(closed, "GET", path, Host="evil.example", **good) == 421
    assert ask(closed, "GET", path, Origin="http://evil.example", **good) == 403
    assert ask(closed, "GET", path, Sec_Fetch_Site="cross-site", **good) == 403
    assert ask(closed, "GET", path, Sec_Fetch_Site="same-site", **good) == 403
    own = f"http://{closed.facts['admin']}"
    assert ask(closed, "GET", path, Origin=own, Sec_Fetch_Site="same-origin", **good) < 400 or (
        path == "/readyz"
    )


def test_the_setting_admin_hosts_names_more_hosts(state: Path) -> None:
    settings = {"state": state / "s", "admin_hosts": "turnout:8081,Ops.example.com"}
    with Turnout("control", **FLAGS, **settings) as control:
        for host, status in (("turnout:8081", 200), ("ops.example.com", 200), ("other", 421)):
            assert ask(control, "GET", "/metrics", Host=host) == status


def test_az_and_the_sdk_may_send_their_types(control: Turnout) -> None:
    good = control.authorization
    body = json.dumps({"configuration": {}}).encode()
    for kind in ("application/json; charset=utf-8", "application/merge-patch+json"):
        status = ask(control, "PATCH", "/v1/apps/nobody", body, Content_Type=kind, **good)
        assert status == 404, kind


# --- the token of the first start


def test_the_first_start_writes_a_token_and_a_restart_keeps_it(state: Path) -> None:
    with Turnout("control", state=state / "s", **FLAGS) as control:
        token = control.token
        assert stat.S_IMODE((state / "s" / "token").stat().st_mode) == 0o600
    with Turnout("control", state=state / "s", **FLAGS) as again:
        assert again.token == token
        assert again.must("GET", "/v1/apps")["value"] == []


def test_a_router_and_a_control_plane_started_at_once_share_the_token(state: Path) -> None:
    routes_file = state / "routes.toml"
    routes_file.write_text('domain = "localhost"\n')
    both = [
        Turnout("control", state=state / "s", **FLAGS),
        Turnout("router", state=state / "s", routes=routes_file, listen="127.0.0.1:0", **FLAGS),
    ]
    try:
        for server in both:
            assert ask(server.wait_ready(), "GET", "/table") == 401
            assert ask(server, "GET", "/table", **server.authorization) == 200
    finally:
        for server in both:
            server.stop()


def test_commands_find_the_token_or_take_one(control: Turnout, state: Path) -> None:
    def told(*args: str, **settings: object) -> tuple[int, str]:
        # `token` keeps the harness from helping
        done = run("app", "list", *args, server=control.server, token="", **settings)
        return done.returncode, done.stderr

    token = control.token
    assert told(state=state / "s")[0] == 0
    code, sentence = told(state=state / "elsewhere")
    assert code == 1
    assert "--token" in sentence
    assert "TURNOUT_STATE" in sentence
    assert told("--token", token, state=state / "elsewhere")[0] == 0
    assert told("--token", "wrong", state=state / "s")[0] == 1  # a flag goes first
    file = state / "turnout.toml"
    file.write_text(f'state = "{state / "s"}"\n')
    assert told(config=file)[0] == 0


def test_role_router_may_follow_and_nothing_else(state: Path) -> None:
    tokens = state / "tokens"
    tokens.write_text("ci write w-secret\ndash read r-secret\nedge router t-secret\n")
    report = json.dumps({"router": "rogue"}).encode()
    kind = {"Content_Type": "application/json"}
    with Turnout("control", state=state / "s", token_file=tokens, **FLAGS) as control:
        for secret, status in (("w-secret", 200), ("r-secret", 403), ("t-secret", 200)):
            bearer = {"Authorization": f"Bearer {secret}"}
            assert ask(control, "POST", "/v1/sync", report, **kind, **bearer) == status, secret
        edge = {"Authorization": "Bearer t-secret"}
        assert ask(control, "GET", "/v1/apps", **edge) == 403
        assert ask(control, "PUT", "/v1/apps/x?dryRun=true", b"{}", **kind, **edge) == 403
        assert not (state / "s" / "token").exists()
        assert run("app", "list", server=control.server, token_file=tokens).returncode == 0
        follower = Turnout(
            "router", state=state / "r", control=control.server, token_file=tokens,
            listen="127.0.0.1:0", **FLAGS,
        )  # fmt: skip
        with follower as router:  # ready: it has a table
            assert router.call("GET", "/readyz")[0] == 200


def test_a_router_on_this_host_finds_the_token_in_the_state_directory(state: Path) -> None:
    with (
        Turnout("control", state=state / "s", **FLAGS) as control,
        Turnout("router", state=state / "s", control=control.server, listen="127.0.0.1:0", **FLAGS)
        as router,
    ):  # fmt: skip
        assert router.call("GET", "/readyz")[0] == 200


# --- silence


def test_silent_connections_do_not_lock_others_out(state: Path) -> None:
    settings = {"state": state / "s", "admin_connections": 16, "admin_silence_s": 1}
    with Turnout("control", **FLAGS, **settings) as control:
        host, _, port = control.facts["admin"].rpartition(":")
        crowd = [socket.create_connection((host, int(port)), timeout=30) for _ in range(64)]
        assert control.must("GET", "/v1/apps")["value"] == []
        for connection in crowd:
            connection.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""  # each is closed, in time
            connection.close()


# --- what may run here


def test_long_polls_and_followed_logs_do_not_lock_others_out(state: Path) -> None:
    (state / "tokens").write_text(f"op write {'w' * 24}\nedge router {'r' * 24}\n")
    (state / "tokens").chmod(0o600)
    settings: dict[str, Any] = {"token_file": state / "tokens", "admin_connections": 16}
    with Turnout("control", state=state / "s", **FLAGS, **settings) as control:
        host, _, port = control.facts["admin"].rpartition(":")

        def poll(known: dict[str, Any]) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            report = json.dumps({"router": "edge", "wait_s": 60, "known": known})
            headers = {"Authorization": f"Bearer {'r' * 24}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/sync", report, headers)
            return connection

        first = poll({})
        table = json.loads(first.getresponse().read())
        first.close()
        known = {key: table[key] for key in ("epoch", "version", "hash")}
        polls = []
        for _ in range(50):
            polls.append(poll(known))
            select.select([polls[-1].sock], [], [], 0.05)  # it is being waited, or was closed
            who = {"Authorization": f"Bearer {'w' * 24}"}
            assert ask(control, "GET", "/v1/apps", **who) == 200
        for one in polls:
            one.close()


def test_process_is_a_runtime_only_where_it_was_asked_for(state: Path) -> None:
    body: dict[str, Any] = {
        "configuration": {"ingress": {"targetPort": 80}},
        "template": template("v1"),
    }
    for flags in ({"runtimes": ""}, {"runtimes": "docker,endpoint"}):
        with Turnout("control", state=state / "s", **FLAGS, **flags) as control:
            for method, path, sent in (
                ("PUT", "/v1/apps/shop", body),
                ("PUT", "/v1/apps/shop?dryRun=true", body),
                ("POST", "/v1/transactions", SHELL),
            ):
                status, answer = control.call(method, path, sent)
                assert status == 400, answer
                assert "--runtimes" in answer["error"]["message"]
                assert "TURNOUT_RUNTIMES" in answer["error"]["message"]
            assert control.must("GET", "/v1/apps")["value"] == []
    with Turnout("control", "--runtimes", "process", state=state / "s", **FLAGS) as control:
        control.must("PUT", "/v1/apps/shop", body)
        provisioned(control, "shop--v1")
        other = {"template": {"containers": [{"image": "endpoint:127.0.0.1:1"}]}}
        assert control.call("PUT", "/v1/apps/other", body | other)[0] == 400
        control.must("DELETE", "/v1/apps/shop")
        until(lambda: not marked(state, also=b"CONTAINER_APP_REVISION="))


def test_apps_of_a_runtime_that_is_switched_off_do_not_start_and_say_why(state: Path) -> None:
    body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
    with Turnout("control", state=state / "s", on_exit="stop", **FLAGS) as control:
        control.must("PUT", "/v1/apps/shop", body)
        provisioned(control, "shop--v1")
    with Turnout("control", state=state / "s", runtimes="docker,endpoint", **FLAGS) as control:
        path = "/v1/apps/shop/revisions/shop--v1/replicas"

        def reasons() -> set[str]:
            return {r["runningStateDetails"] for r in control.must("GET", path)["value"]}

        until(lambda: any("--runtimes" in reason for reason in reasons()))
        assert routes(control)["shop"].get("shop--v1", 0) == 0
        control.must("DELETE", "/v1/apps/shop")


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("169.254.169.254:80", "never an endpoint"),
        ("[fd00:ec2::254]:80", "never an endpoint"),
        ("[::ffff:169.254.169.254]:80", "never an endpoint"),
        ("2852039166:80", "never an endpoint"),
        ("8.8.8.8:53", "endpoint_networks"),
    ],
)
def test_endpoints_are_where_the_setting_allows(closed: Turnout, endpoint: str, says: str) -> None:
    body = {"template": {"containers": [{"image": f"endpoint:{endpoint}"}]}}
    status, answer = closed.call("PUT", "/v1/apps/shop", body)
    assert (status, says in answer["error"]["message"]) == (400, True), answer


def test_a_bad_list_of_runtimes_or_networks_is_said_at_the_start(state: Path) -> None:
    for flags, says in (
        ({"runtimes": "docker,procss"}, "runtimes: 'procss' is none of docker, endpoint, process"),
        ({"endpoint_networks": "10.0.0.1/8"}, "endpoint_networks: "),
    ):
        done = run("control", state=state / "s", **FLAGS, **flags)
        assert done.returncode == 2
        assert says in done.stderr
        assert "Traceback" not in done.stderr

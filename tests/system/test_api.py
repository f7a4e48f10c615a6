"""The native API of a real control plane: what it answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout, provisioned, routes, run, template, until
from tests.system.test_router_alone import a_replica

BODY = {
    "configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}},
    "template": {"revisionSuffix": "v1", "containers": [{"image": "endpoint:127.0.0.1:1"}]},
}

ARM = "/subscriptions/s/resourceGroups/local/providers/Microsoft.App/containerApps"
ENVELOPE = {"location": "local", "properties": BODY}


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with Turnout("control", admin="127.0.0.1:0", state=state / "s") as control:
        yield control


@pytest.fixture(scope="module")
def unchanged(shared_state: Path) -> Iterator[Turnout]:
    """A server for calls that change nothing."""
    with Turnout("control", admin="127.0.0.1:0", state=shared_state / "s") as control:
        yield control


def raw(
    control: Turnout, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], Any]:
    host, _, port = control.facts["admin"].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    sent = control.authorization | {"Content-Type": "application/json"}
    sent |= {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request(method, path, body, sent)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, dict(response.headers), json.loads(answer) if answer else None


def raw_status(control: Turnout, method: str, path: str, body: bytes, header: bytes) -> int:
    """The status of a request that http.client would not send."""
    host, _, port = control.facts["admin"].rpartition(":")
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n".encode()
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    if not header.startswith(b"Authorization"):
        head += f"Authorization: {control.authorization['Authorization']}\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + header + b"\r\n\r\n" + body)
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def test_an_app_is_made_read_patched_and_deleted(control: Turnout) -> None:
    assert control.call("PUT", "/v1/apps/shop", BODY)[0] == 201
    assert control.call("PUT", "/v1/apps/shop", BODY)[0] == 200
    app = control.must("GET", "/v1/apps/SHOP")
    assert app["configuration"]["ingress"]["fqdn"] == "shop.localhost"
    assert app["configuration"]["ingress"]["traffic"] == [{"weight": 100, "latestRevision": True}]

    # what GET shows can be sent back, and changes nothing
    assert control.must("PUT", "/v1/apps/shop", app)["version"] == app["version"]

    scaled = {"template": {"scale": {"minReplicas": 1, "maxReplicas": 4}}}
    patched = control.must("PATCH", "/v1/apps/shop", scaled)
    assert patched["latestRevisionName"] not in ("", "shop--v1")
    assert patched["template"]["containers"] == app["template"]["containers"]
    assert control.call("DELETE", "/v1/apps/shop")[0] == 204
    assert control.call("GET", "/v1/apps/shop")[0] == 404


def test_a_write_against_an_older_version_is_refused(control: Turnout) -> None:
    _, headers, _ = raw(control, "PUT", "/v1/apps/shop", json.dumps(BODY).encode())
    patch = json.dumps({"configuration": {"maxInactiveRevisions": 5}}).encode()

    assert raw(control, "PATCH", "/v1/apps/shop", patch, If_Match=headers["ETag"])[0] == 200
    status, _, answer = raw(control, "PATCH", "/v1/apps/shop", patch, If_Match=headers["ETag"])
    assert (status, answer["error"]["code"]) == (412, "PreconditionFailed")


def test_lists_come_in_pages(control: Turnout) -> None:
    def pages(path: str) -> list[list[Any]]:
        found = []
        while path:
            page = control.must("GET", path)
            found.append(page["value"])
            path = (page.get("nextLink") or "").removeprefix(control.server)
        return found

    def named(path: str, key: str = "name") -> list[list[Any]]:
        return [[item[key] for item in page] for page in pages(path)]

    changes = [{"app": f"app{n}", "method": "PUT", "body": BODY} for n in range(5)]
    control.must("POST", "/v1/transactions", {"changes": changes})
    assert named("/v1/apps?limit=2") == [["app0", "app1"], ["app2", "app3"], ["app4"]]
    assert named("/v1/apps") == [[f"app{n}" for n in range(5)]]
    for suffix in ("v2", "v3"):
        body = {"template": {**BODY["template"], "revisionSuffix": suffix}}
        control.must("PATCH", "/v1/apps/app0", body)
    revisions = named("/v1/apps/app0/revisions?limit=2")
    assert revisions == [["app0--v3", "app0--v2"], ["app0--v1"]]
    assert named("/v1/journal?app=app0&limit=2", "app") == [["app0"] * 2, ["app0"]]
    assert control.call("GET", "/v1/apps?limit=0")[0] == 400

    base = "/subscriptions/s/resourceGroups/local/providers/Microsoft.App/containerApps"
    arm = [["app0", "app1"], ["app2", "app3"], ["app4"]]
    assert named(f"{base}?api-version=2025-07-01&%24top=2") == arm
    assert named(f"{base}/app0/revisions?$top=2") == revisions


def test_conditions_of_a_request_are_those_of_http(control: Turnout) -> None:
    body, path = json.dumps(BODY).encode(), "/v1/apps/shop"
    assert raw(control, "PUT", path, body, If_Match="*")[0] == 412
    assert raw(control, "PATCH", path, b"{}", If_Match="*")[0] == 404
    status, headers, _ = raw(control, "PUT", path, body, If_None_Match="*")
    assert status == 201
    status, _, answer = raw(control, "PUT", path, body, If_None_Match="*")
    assert (status, answer["error"]["code"]) == (412, "PreconditionFailed")
    assert raw(control, "PUT", path, body, If_Match=f'"77", {headers["ETag"]}')[0] == 200
    control.must("POST", f"{path}/stop")  # then nothing changes by itself any more
    until(lambda: control.must("GET", path)["runningStatus"] == "Stopped")
    _, headers, _ = raw(control, "GET", path)
    status, known, answer = raw(control, "GET", path, If_None_Match=headers["ETag"])
    assert (status, known["ETag"], answer) == (304, headers["ETag"], None)
    assert raw(control, "GET", path, If_None_Match='"77"')[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", b"", 404, "ResourceNotFound"),
        ("GET", "/v1/apps/nobody", b"", 404, "ResourceNotFound"),
        ("GET", "/v1/apps/nobody/revisions", b"", 404, "ResourceNotFound"),
        ("POST", "/v1/apps", b"", 405, "MethodNotAllowed"),
        ("PUT", "/v1/apps/shop", b"{", 400, "InvalidRequestContent"),
        ("PUT", "/v1/apps/shop", b"[]", 400, "InvalidParameterValue"),
        ("PUT", "/v1/apps/Shop", json.dumps(BODY).encode(), 400, "ContainerAppInvalidName"),
        ("PUT", "/v1/apps/shop", b" " * (2 << 20), 413, "RequestTooLarge"),
        ("POST", "/v1/sync", b"{}", 400, "InvalidParameterValue"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_shape(
    unchanged: Turnout, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    got, _, answer = raw(unchanged, method, path, body)

    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


def test_no_header_fails_the_control_plane(control: Turnout) -> None:
    names = (
        "User-Agent", "X-Turnout-User", "X-Turnout-Note", "If-Match", "If-None-Match", "Accept",
        "Authorization", "X-Forwarded-Proto", "X-Forwarded-For", "x-ms-client-request-id",
    )  # fmt: skip
    for path, body in (("/v1/apps/shop", BODY), (f"{ARM}/blog", ENVELOPE)):
        for name in names:
            header = name.encode() + b": caf\xe9 \xff"
            put = raw_status(control, "PUT", path, json.dumps(body).encode(), header)
            get = raw_status(control, "GET", path, b"", header)
            assert (put < 500, get < 500) == (True, True), (path, name)
    assert raw(control, "GET", "/v1/journal")[0] == 200


def test_deep_json_is_refused_everywhere(control: Turnout) -> None:
    body = b'{"template":' * 990 + b"1" + b"}" * 990
    for method, path in (
        ("PUT", "/v1/apps/shop"),
        ("POST", "/v1/transactions"),
        ("POST", "/v1/sync"),
        ("PUT", f"{ARM}/shop"),
    ):
        status, _, answer = raw(control, method, path, body)
        assert (status, answer["error"]["code"]) == (400, "InvalidRequestContent")
        assert "nested" in answer["error"]["message"]


def test_custom_domains_belong_to_one_app_and_not_to_us(control: Turnout) -> None:
    def put(app: str, domain: str) -> int:
        ingress = {"targetPort": 80, "customDomains": [{"name": domain}]}
        body = {**BODY, "configuration": {"ingress": ingress}}
        return control.call("PUT", f"/v1/apps/{app}", body)[0]

    assert put("shop", "shop.example.com") == 201
    assert put("other", "shop.example.com") == 400
    assert put("other", "x.localhost") == 400
    assert put("other", "Other.example.com") == 400


def test_endpoints_are_probed_and_routed_to(state: Path) -> None:
    with (
        a_replica("one") as one,
        a_replica("two") as two,
        Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s") as up,
    ):
        image = f"endpoint:{one},{two}"
        body = {**BODY, "template": {"revisionSuffix": "v1", "containers": [{"image": image}]}}
        up.must("PUT", "/v1/apps/shop", body)
        provisioned(up, "shop--v1")
        until(lambda: routes(up)["shop"] == {"shop--v1": 2})
        assert {up.get("shop.localhost")[2] for _ in range(40)} == {"one", "two"}


def test_the_metrics_of_both_halves_are_on_one_port_and_valid(state: Path) -> None:
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s") as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", "/v1/apps/shop", body)
        provisioned(up, "shop--v1")
        until(lambda: up.get("shop.localhost")[0] == 200)
        _, exposition = up.call("GET", "/metrics")
        for line in (
            'turnout_revisions{app="shop",state="RunningAtMaxScale"} 1.0',
            'turnout_requests_total{app="shop",code="200",revision="shop--v1"} 1.0',
            "turnout_reconcile_seconds_count",
        ):
            assert line in exposition
        open_metrics = subprocess.run(
            ["curl", "-s", "-H", "Accept: application/openmetrics-text", f"{up.server}/metrics"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert open_metrics.count("# EOF") == 1
        if shutil.which("promtool") is None:
            pytest.skip("promtool is not installed (Debian package prometheus)")
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            input=exposition, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_tokens_have_names_and_roles(state: Path) -> None:
    tokens = state / "tokens"
    tokens.write_text("# who may what\nci write w-secret\ndash read r-secret\n")
    settings = {"state": state / "s", "token_file": tokens}
    reader, writer = {"Authorization": "Bearer r-secret"}, {"Authorization": "Bearer w-secret"}
    body = json.dumps(BODY).encode()
    with Turnout("control", admin="127.0.0.1:0", **settings) as control:
        assert raw(control, "GET", "/v1/apps")[0] == 401
        assert raw(control, "GET", "/v1/apps", Authorization="Bearer wrong")[0] == 401
        assert raw(control, "GET", "/v1/apps", **reader)[0] == 200
        assert raw(control, "PUT", "/v1/apps/shop", body, **reader)[0] == 403
        assert raw(control, "PUT", "/v1/apps/shop?dryRun=true", body, **reader)[0] == 200
        assert raw(control, "PUT", "/v1/apps/shop", body, **writer)[0] == 201
        assert raw(control, "POST", "/v1/apps/shop/listSecrets?dryRun=true", **reader)[0] == 403
        (record,) = raw(control, "GET", "/v1/journal", **reader)[2]["value"]
        assert record["who"].startswith("ci: ")
        for path in ("/healthz", "/metrics"):
            assert control.call("GET", path)[0] == 200
        assert run("app", "list", server=control.server, token_file=tokens).returncode == 0
        assert "asks for a token" in run("app", "list", server=control.server).stderr

        tokens.write_text("ci write rotated\n")
        assert raw(control, "GET", "/v1/apps", **writer)[0] == 401
        assert raw(control, "GET", "/v1/apps", Authorization="Bearer rotated")[0] == 200
        tokens.write_text("ci admin oops\n")  # no such role: the ones that were stay
        assert raw(control, "GET", "/v1/apps", Authorization="Bearer rotated")[0] == 200


def test_several_apps_change_together_or_not_at_all(control: Turnout) -> None:
    def change(**others: Any) -> dict[str, Any]:
        return {"app": "shop", "method": "PUT", "body": BODY} | others

    made = control.must("POST", "/v1/transactions", {"changes": [change(), change(app="blog")]})[
        "value"
    ]
    assert [app["name"] for app in made] == ["shop", "blog"]
    before = control.must("GET", "/v1/apps")
    patch = {"configuration": {"maxInactiveRevisions": 5}}
    bad = {"app": "nobody", "body": patch}
    status, answer = control.call(
        "POST", "/v1/transactions", {"changes": [change(method="PATCH", body=patch), bad]}
    )
    assert (status, answer["error"]["code"]) == (404, "ResourceNotFound")
    stale = change(method="PATCH", body=patch, ifMatch="0", app="blog")
    both = {"changes": [change(method="PATCH", body=patch), stale]}
    assert control.call("POST", "/v1/transactions", both)[0] == 412
    assert control.must("GET", "/v1/apps") == before

    def hosts() -> tuple[int, dict[str, list[str]]]:
        table = control.must("GET", "/table")
        return table["version"], {a["name"]: a["hosts"] for a in table["apps"] if a["hosts"]}

    moved = {"configuration": {"ingress": {"customDomains": [{"name": "a.example"}]}}}
    control.must("PATCH", "/v1/apps/shop", moved)
    until(lambda: hosts()[1] == {"shop": ["a.example"]})
    version, _ = hosts()
    taken = {"configuration": {"ingress": {"customDomains": []}}}
    swap = [change(method="PATCH", body=taken), change(app="blog", method="PATCH", body=moved)]
    control.must("POST", "/v1/transactions", {"changes": swap})
    until(lambda: hosts()[0] > version)
    assert hosts()[1] == {"blog": ["a.example"]}
    gone = control.must(
        "POST", "/v1/transactions", {"changes": [{"app": "shop", "method": "DELETE"}]}
    )
    assert gone == {"value": []}
    assert [app["name"] for app in control.must("GET", "/v1/apps")["value"]] == ["blog"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", BODY | {"configuration": {"maxInactiveRevisions": 3}}),
        ("PUT", "/traffic", {"traffic": [{"revisionName": "shop--v1", "weight": 100}]}),
        ("PUT", "/mode", {"mode": "single"}),
        ("POST", "/stop", None),
        ("POST", "/revisions/shop--v1/restart", None),
        ("DELETE", "", None),
    ],
)
def test_any_change_can_be_tried_without_doing_it(
    control: Turnout, method: str, path: str, body: Any
) -> None:
    control.must("PUT", "/v1/apps/shop", BODY)
    before = control.must("GET", "/v1/apps/shop")
    found = control.must(method, f"/v1/apps/shop{path}?dryRun=true", body)
    assert found["apps"]["shop"]["changes"]
    assert control.must("GET", "/v1/apps/shop") == before

"""GET /v1/events as a script reads it: the whole state first, then what changes."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout, until

BODY = {
    "configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}},
    "template": {"revisionSuffix": "v1", "containers": [{"image": "endpoint:127.0.0.1:1"}]},
}


class Stream:
    """One stream; `next` waits for an event of a kind."""

    def __init__(self, server: Turnout, query: str = "", token: str = "", last: str = "") -> None:
        self._connection = http.client.HTTPConnection(server.facts["admin"], timeout=30)
        headers = {"Authorization": f"Bearer {token or server.token}"}
        if last:
            headers["Last-Event-ID"] = last
        self._connection.request("GET", f"/v1/events{query}", headers=headers)
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.id = ""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def events(self) -> Iterator[tuple[str, Any]]:
        name = ""
        while line := self.response.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                self.id = value
            elif field == "data":
                yield name, json.loads(value)

    def next(self, kind: str) -> Any:
        return next(value for name, value in self.events() if name == kind)


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with Turnout("control", admin="127.0.0.1:0", state=state / "s") as control:
        control.must("PUT", "/v1/apps/shop", BODY)
        yield control


def test_the_state_comes_first_and_again_when_it_is_another(control: Turnout) -> None:
    with Stream(control, "?app=shop") as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        assert stream.next("hello")["role"] == "write"
        assert [r["suffix"] for r in stream.next("app")["revisions"]] == ["v1"]
        control.must("PATCH", "/v1/apps/shop", {"template": {"revisionSuffix": "v2"}})
        assert "v2" in [r["suffix"] for r in stream.next("app")["revisions"]]
        control.must("DELETE", "/v1/apps/shop")
        assert stream.next("gone") == {"app": "shop"}


def test_whoever_comes_back_is_not_told_what_it_knows(control: Turnout) -> None:
    with Stream(control, "?search=shop") as stream:
        stream.next("apps")
        known = stream.id
    assert known
    with Stream(control, "?search=shop", last=known) as stream:
        stream.next("hello")
        control.must("PUT", "/v1/apps/shop2", BODY)
        names = [row["name"] for row in stream.next("apps")["apps"]]
        assert names == ["shop", "shop2"]  # the first that it is told


def test_a_page_of_apps_is_searched_sorted_and_cut_here(control: Turnout) -> None:
    for name in ("alpha", "beta", "shop-b"):
        control.must("PUT", f"/v1/apps/{name}", BODY)
    with Stream(control, "?search=shop&limit=1&offset=1") as stream:
        page = stream.next("apps")
        assert [row["name"] for row in page["apps"]] == ["shop-b"]
        assert (page["found"], page["total"]) == (2, 4)
    with Stream(control, "?sort=changed") as stream:
        assert stream.next("apps")["apps"][0]["name"] == "shop-b"


def test_what_cannot_be_meant_is_refused_in_words(control: Turnout) -> None:
    for query, said in (
        ("?sort=colour", "sort"), ("?limit=0", "limit"), ("?offset=-1", "offset"),
    ):  # fmt: skip
        status, answer = control.call("GET", f"/v1/events{query}")
        assert status == 400
        assert answer["error"]["message"].startswith(said)
    assert control.call("GET", "/v1/events?app=nobody")[0] == 404


def test_a_stream_ends_with_its_token(state: Path) -> None:
    tokens = state / "tokens"
    tokens.write_text("ann write one\nbob read two\n")
    with Turnout("control", admin="127.0.0.1:0", state=state / "s", token_file=tokens) as control:
        with Stream(control, token="two") as stream:
            assert stream.next("hello")["role"] == "read"
            tokens.write_text("ann write one\n")
            said = {name for name, _ in stream.events()}  # it ends, at its next word
            assert said <= {"apps", "rates"}


def test_a_log_that_is_followed_ends_with_its_token(state: Path) -> None:
    tokens = state / "tokens"
    tokens.write_text("ann write one\nbob read two\n")
    settings = {
        "admin": "127.0.0.1:0",
        "state": state / "s",
        "token_file": tokens,
        "on_exit": "stop",
    }
    with Turnout("control", **settings) as control:

        def ask(method: str, path: str, body: Any = None) -> Any:
            data = json.dumps(body).encode() if body is not None else None
            headers = {"Authorization": "Bearer one", "Content-Type": "application/json"}
            url = f"http://{control.facts['admin']}{path}"
            request = urllib.request.Request(url, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read())

        command = [sys.executable, "-uc", "import time\nwhile not time.sleep(0.1): print('line')"]
        container = {"name": "main", "image": "process:", "command": command}
        template = {"revisionSuffix": "v1", "containers": [container]}
        ask("PUT", "/v1/apps/shop", BODY | {"template": template})
        path = "/v1/apps/shop/revisions/shop--v1/replicas"
        name = until(lambda: [r["name"] for r in ask("GET", path)["value"]])[0]
        until(lambda: ask("GET", f"{path}/{name}/logs")["lines"])
        connection = http.client.HTTPConnection(control.facts["admin"], timeout=30)
        with contextlib.closing(connection):
            headers = {"Authorization": "Bearer two"}
            connection.request("GET", f"{path}/{name}/logs?follow=true", headers=headers)
            response = connection.getresponse()
            assert response.readline() == b"line\n"
            tokens.write_text("ann write one\n")
            while response.readline():
                pass


def test_rates_come_every_second_while_somebody_looks(up: Turnout) -> None:
    container = {"name": "main", "image": "process:demo"}
    up.must("PUT", "/v1/apps/shop", BODY | {"template": {"containers": [container]}})
    until(lambda: up.get("shop.localhost")[0] == 200)
    with Stream(up, "?app=shop") as stream:
        for name, value in stream.events():
            for _ in range(5):
                up.get("shop.localhost")
            if name == "rates" and value["revisions"]:
                break
        ((per_s, errors, p50, p99, share),) = value["revisions"].values()
        assert per_s > 0
        assert (errors, share) == (0, 1.0)
        assert 0 < p50 <= p99


def test_a_reader_that_stands_still_costs_one_state_and_no_more(control: Turnout) -> None:
    """What is out of date is not kept for it, however long it is away."""
    with Stream(control, "?app=shop") as still, Stream(control, "?app=shop") as other:
        still.next("app")
        other.next("app")
        for weight in range(60):
            name = f"r{weight}"
            control.must("PATCH", "/v1/apps/shop", {"tags": {"turn": name}})
        other_seen = [other.next("app")["app"].get("tags")]
        while other_seen[-1] != {"turn": "r59"}:
            other_seen.append(other.next("app")["app"].get("tags"))
        assert len(other_seen) < 60  # changes within a moment are one event
        seen = still.next("app")["app"].get("tags")
        while seen != {"turn": "r59"}:
            seen = still.next("app")["app"].get("tags")

"""A router on [::], asked over IPv4 and IPv6: who is trusted, what replicas are told."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.turnout import Turnout

pytestmark = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")

ROUTES = """
[[app]]
name = "shop"
[[app.revision]]
name = "shop--v1"
weight = 100
endpoints = ["{}"]
"""


@contextmanager
def an_echo() -> Iterator[str]:
    """The address of a replica that answers with the fields it was sent."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(dict(self.headers)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(host: str, port: str, **fields: str) -> dict[str, str]:
    """What the replica is told when a client of that host sends some fields."""
    request = urllib.request.Request(
        f"http://{host}:{port}/", headers={"Host": "shop.localhost", **fields}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found = json.loads(response.read())
    return {name.lower(): value for name, value in found.items()}


def test_mapped_clients_are_trusted_by_their_ipv4_address(state: Path) -> None:
    with an_echo() as echo:
        (state / "routes.toml").write_text(ROUTES.format(echo))
        with Turnout(
            "router", "--routes", str(state / "routes.toml"), "--listen", "[::]:0",
            "--admin", "127.0.0.1:0", state=state, workers=1, trusted_proxies="127.0.0.1",
            trusted_only_fields="X-Tenant*", via="false",
        ) as router:  # fmt: skip
            listening, _, port = router.facts["ingress"].rpartition(":")
            claims = {"X-Tenant-Id": "7", "X-Real-IP": "6.6.6.6", "X-Forwarded-For": "6.6.6.6"}
            trusted = told("127.0.0.1", port, **claims)
            stranger = told("[::1]", port, **claims)
    assert listening == "[::]"
    assert (trusted["x-tenant-id"], trusted["x-forwarded-for"]) == ("7", "6.6.6.6, 127.0.0.1")
    assert "x-tenant-id" not in stranger
    assert (stranger["x-real-ip"], stranger["x-forwarded-for"]) == ("6.6.6.6", "::1")
    assert stranger["x-turnout-hops"] == "1"
    assert "via" not in stranger

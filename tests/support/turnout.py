"""The real `turnout` command as processes of a test."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_S = 60.0
WAIT_S = 30.0
TURNOUT = [sys.executable, "-c", "from control.cli.main import app; app()"]
RUNTIMES = "process,endpoint,docker"
_running: set[Turnout] = set()
_tokens: dict[str, str] = {}  # by server: those that servers of this test run have made


def environment(**settings: object) -> dict[str, str]:
    """Our environment with TURNOUT_… settings, and without those of whoever runs the tests.

    With `server`, also the token that this server has made.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TURNOUT_")}
    if settings.get("server") in _tokens and not settings.keys() & {"token", "token_file"}:
        settings["token"] = _tokens[str(settings["server"])]
    return inherited | {f"TURNOUT_{k.upper()}": str(v) for k, v in settings.items()}


def run(*args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [*TURNOUT, *args],
        env=environment(**settings) | {"COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )


class Turnout:
    """A running server; its addresses are those of its ready line."""

    def __init__(self, *args: str, cwd: Path | None = None, **settings: object) -> None:
        self.args = args
        self.settings = {"runtimes": RUNTIMES} | settings
        self._cwd = cwd  # the code that is run is the code that is there
        self.facts: dict[str, str] = {}
        self.stderr = b""
        self.process = self._spawn()
        _running.add(self)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            env=environment(**self.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=self._cwd,
        )

    def _command(self) -> list[str]:
        return [*TURNOUT, *self.args]

    def __enter__(self) -> Turnout:
        try:
            return self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self) -> Turnout:
        """Until the ready line."""
        line = self.read_until(b"^ready .*\n").group()
        self.facts = dict(word.split("=", 1) for word in line.decode().split()[1:])
        if self.token:
            _tokens[self.server] = self.token
        return self

    @property
    def token(self) -> str:
        """The token it has made in its state directory; empty when it is given a file of them."""
        state = self.settings.get("state", Path(self._cwd or ".") / ".turnout")
        if "--state" in self.args:
            state = self.args[self.args.index("--state") + 1]
        file = Path(str(state)) / "token"
        return file.read_text().strip() if file.exists() else ""

    @property
    def authorization(self) -> dict[str, str]:
        """The header that its API asks for."""
        return {"Authorization": f"Bearer {self.token}"}

    def read_until(self, pattern: bytes) -> re.Match[bytes]:
        """Read stderr until a pattern is found in it; `^` is the beginning of a line."""
        ends_at = time.monotonic() + READY_S
        assert self.process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stderr, selectors.EVENT_READ)
            while not (found := re.search(pattern, self.stderr, re.MULTILINE)):
                left = ends_at - time.monotonic()
                assert selector.select(max(0.0, left)), f"no {pattern!r} in {self.stderr.decode()}"
                read = os.read(self.process.stderr.fileno(), 65536)
                assert read, f"ended with {self.process.wait()}: {self.stderr.decode()}"
                self.stderr += read
        return found

    @property
    def port(self) -> int:
        """The ingress port."""
        return int(self.facts["ingress"].rpartition(":")[2])

    @property
    def server(self) -> str:
        """The URL of the admin port."""
        return f"http://{self.facts['admin']}"

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            _, rest = self.process.communicate(timeout=60)
            self.stderr += rest or b""
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        _running.discard(self)
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL."""
        _running.discard(self)
        with self.process:  # closes its pipe whatever comes
            self.process.kill()
            self.process.communicate(timeout=30)

    # --- its API

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One call: status and answer."""
        data = json.dumps(body).encode() if body is not None else None
        headers = self.authorization | {"Content-Type": "application/json"}
        url = f"{self.server}{path}"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                raw, status = response.read(), response.status
        except urllib.error.HTTPError as error:
            raw, status = error.read(), error.code
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw.decode()

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """One call that has to succeed."""
        status, answer = self.call(method, path, body)
        assert status < 300, answer
        return answer

    def get(self, host: str, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
        """One request through the ingress: status, headers, body."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Host": host, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, dict(response.headers), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()


@contextmanager
def none_left() -> Iterator[None]:
    """Servers that a failed test has not ended do not outlive the block.

    Their pipes would be closed whenever they are collected, and that fails another test.
    """
    before = set(_running)
    try:
        yield
    finally:
        for server in _running - before:
            server.kill()


def until(what: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """Wait for something to be true, and return it."""
    ends_at = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < ends_at, f"never true: {what}"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The living children of a process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()] if path.exists() else []


def command_of(pid: int) -> str:
    """The command line of a process; empty for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def marked(state: Path, also: bytes = b"") -> list[int]:
    """Processes that a test's state directory marks, replicas included.

    With `also`, only those that have this in their environment too.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            # PATH carries it too: replicas inherit that and little else.
            is_ours = any(f"{mark}{state}".encode() in environ for mark in ("TEST_MARK=", ":"))
            if is_ours and also in environ and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def without_apps(server: Turnout) -> None:
    """Delete every app of a server that tests share, until no replica of one is left."""
    for app in server.must("GET", "/v1/apps")["value"]:
        server.must("DELETE", f"/v1/apps/{app['name']}")
    folder = Path(str(server.settings["state"]))
    until(lambda: not marked(folder.parent, also=b"TURNOUT_REPLICA="))


def template(suffix: str = "", *, replicas: int = 1, **env: str) -> dict[str, Any]:
    """A template of the demo app that is ready quickly."""
    get = {"path": "/healthz", "port": 80}
    return {
        "revisionSuffix": suffix,
        "containers": [
            {
                "image": "process:demo",
                "env": [{"name": k, "value": v} for k, v in env.items()],
                "probes": [
                    {"type": "Startup", "httpGet": get, "periodSeconds": 1, "failureThreshold": 60},
                    {"type": "Readiness", "httpGet": get, "periodSeconds": 1},
                ],
            }
        ],
        "scale": {"minReplicas": replicas, "maxReplicas": replicas},
    }


def provisioned(server: Turnout, revision: str) -> Any:
    """A revision once it is ready; fails at once when it failed."""
    app = revision.partition("--")[0]

    def look() -> Any:
        wire = server.must("GET", f"/v1/apps/{app}/revisions/{revision}")
        assert wire.get("provisioningState") != "Failed", wire
        return wire if wire.get("provisioningState") == "Provisioned" else None

    return until(look)


def routes(server: Turnout) -> dict[str, dict[str, int]]:
    """What the routers are told: ready endpoints by revision, by app."""
    table = server.must("GET", "/table")
    return {
        app["name"]: {r["name"]: len(r["endpoints"]) for r in app["revisions"]}
        for app in table["apps"]
    }

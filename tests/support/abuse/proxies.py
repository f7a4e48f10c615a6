"""turnout's router and Debian's nginx as child processes, in front of the same apps.

Both have one worker and their ordinary settings; a scenario changes limits by turnout's names,
and nginx gets what corresponds to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.turnout import TURNOUT, children, environment, is_alive

_START_S = 60.0

Apps = dict[str, str]  # name to the address of its one replica

# turnout's settings in nginx's words; what is not here has no counterpart.
_DIRECTIVES = {
    "head_timeout_s": ("client_header_timeout",),
    "body_idle_timeout_s": ("client_body_timeout",),
    "keepalive_timeout_s": ("keepalive_timeout",),
    "response_timeout_s": ("proxy_read_timeout", "proxy_send_timeout"),
    "write_timeout_s": ("send_timeout",),
}


class Proxy:
    """A running proxy. Subclasses know its command, how it reloads and how it is asked to leave."""

    name = ""
    leave_signal = signal.SIGTERM

    def __init__(self, apps: Apps, **settings: object) -> None:
        self.apps = apps
        self.settings = settings
        self.port = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="turnout-abuse-")
        self.folder = Path(self._scratch.name)
        self.access_log = self.folder / "logs" / "access.log"
        self.process: subprocess.Popen[bytes] = None  # type: ignore[assignment]

    async def __aenter__(self) -> Proxy:
        self.access_log.parent.mkdir()
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it serves."""
        raise NotImplementedError

    async def reload(self) -> None:
        """Have it take a new table, with the same apps."""
        raise NotImplementedError

    def reopen_log(self) -> None:
        """What logrotate does after it has moved the log away."""

    @property
    def errors_file(self) -> Path:
        """What it says on stderr."""
        return self.folder / "stderr"

    def spawn(self, command: list[str], env: dict[str, str]) -> None:
        """Start a command; what it says goes to a file, which is never full as a pipe would be."""
        with self.errors_file.open("wb") as said:
            self.process = subprocess.Popen(
                command, env=env, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
            )

    def workers(self) -> list[int]:
        """The processes that serve."""
        return children(self.process.pid)

    def leave(self) -> None:
        """Ask it to finish what it has and go."""
        self.process.send_signal(self.leave_signal)

    async def gone(self, timeout_s: float) -> bool:
        """Whether it has ended within a time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, timeout_s)
        return self.process.poll() is not None

    async def stop(self) -> None:
        """End it at once; how it leaves when it is asked to is a scenario's business."""
        if self.process is not None:
            everyone = [*self.workers(), self.process.pid]
            self.process.kill()
            self.process.wait()
            for pid in filter(is_alive, everyone):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._scratch.cleanup()

    def said(self) -> str:
        """All that it has said on stderr so far."""
        return self.errors_file.read_text(errors="replace")

    async def until(self, what: Callable[[], object]) -> None:
        """Wait for something; fails at once when the proxy has ended."""
        async with asyncio.timeout(_START_S):
            while not what():
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} has ended: {self.said()}")
                await asyncio.sleep(0.02)


class Router(Proxy):
    """`turnout router` on a routes file."""

    name = "turnout"
    workers_wanted = 1

    def __init__(self, apps: Apps, **settings: object) -> None:
        super().__init__(apps, **settings)
        self._routes: dict[str, str] = {}  # by app

    def _write_routes(self) -> Path:
        file, beside = self.folder / "routes.toml", self.folder / "routes.new"
        beside.write_text('domain = "localhost"\n' + "".join(self._routes.values()))
        return beside.replace(file)  # whole: the router looks at it whenever it likes

    async def start(self) -> None:
        for name, address in self.apps.items():
            self._routes[name] = _app(name, "v1", (address,))
        routes = self._write_routes()
        where = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "state": self.folder / "state"}
        settings = {"workers": self.workers_wanted, **where, **self.settings}
        if self.settings.get("access_log"):
            settings["access_log"] = self.access_log
        self.spawn([*TURNOUT, "router", "--routes", str(routes)], environment(**settings))
        await self.until(lambda: re.search("^ready .*\n", self.said(), re.MULTILINE))
        line = next(x for x in self.said().splitlines() if x.startswith("ready "))
        facts = dict(word.split("=", 1) for word in line.split()[1:])
        self.port = int(facts["ingress"].rpartition(":")[2])
        self.admin = facts["admin"]

    async def route(self, app: str, revision: str, *addresses: str) -> None:
        """Have one revision with these replicas serve an app, and none else."""
        self._routes[app] = _app(app, revision, addresses)
        self._write_routes()
        await self.reload()

    async def until_metric(self, name: str, value: float) -> None:
        """Wait until the sum of a metric's series is that."""
        async with asyncio.timeout(_START_S):
            while await self.metric(name) != value:
                await asyncio.sleep(0.02)

    async def reload(self) -> None:
        before = await self.metric("turnout_table_version")
        self.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(_START_S):
            while await self.metric("turnout_table_version") == before:
                await asyncio.sleep(0.02)

    async def metric(self, name: str) -> float:
        """The sum of all series of a metric."""

        def read() -> str:
            with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=30) as response:
                return str(response.read().decode())

        lines = (await asyncio.to_thread(read)).splitlines()
        series = [x for x in lines if x.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(x.rpartition(" ")[2]) for x in series)


def _app(name: str, revision: str, addresses: Sequence[str]) -> str:
    return (
        f'[[app]]\nname = "{name}"\nmode = "multiple"\n[[app.revision]]\n'
        f'name = "{name}--{revision}"\nweight = 100\nendpoints = {list(addresses)}\n'
    )


class Nginx(Proxy):
    """nginx as a reverse proxy that keeps connections to its upstreams."""

    name = "nginx"
    leave_signal = signal.SIGQUIT

    async def start(self) -> None:
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.port = _free_port()
        config = self.folder / "nginx.conf"
        config.write_text(self._config())
        self.spawn([program, "-c", str(config), "-e", str(self.errors_file)], dict(os.environ))
        await self.until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and bool(self.workers())

    def reopen_log(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def _config(self) -> str:
        temporary = "\n".join(
            f"  {kind}_temp_path {self.folder}/temp;"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        limits = "\n".join(
            f"  {directive} {value:g}s;"
            for name, value in self.settings.items()
            if isinstance(value, (int, float))
            for directive in _DIRECTIVES.get(name, ())
        )
        log = self.access_log if self.settings.get("access_log") else "off"
        listen = f"listen 127.0.0.1:{self.port}"
        return f"""
user root; worker_processes 1; daemon off; pid {self.folder}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log {log};
  client_max_body_size 0;
{temporary}
{limits}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{ {listen} default_server; return 404; }}
{"".join(self._server(listen, name, address) for name, address in self.apps.items())}
}}
"""

    def _server(self, listen: str, name: str, address: str) -> str:
        return f"""
  upstream {name} {{ server {address}; keepalive 64; }}
  server {{
    {listen}; server_name {name}.localhost;
    location / {{
      proxy_pass http://{name}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id;
    }}
  }}"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

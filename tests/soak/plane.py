"""The processes of the control plane's soak: one control, two routers, and its small disk."""

from __future__ import annotations

import contextlib
import operator
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.turnout import READY_S, Turnout, is_alive, marked, until

_TOKENS = {"operator": "write", "edge": "router"}  # each its own token
# Of loopback, but what connects has 127.0.0.1: no client's own port takes theirs while they restart
_CONTROL, _ROUTERS, _RESOLVER = "127.0.0.2", ("127.0.0.3", "127.0.0.4"), "127.0.0.153"
_DISK = "64m"


class Watched(Turnout):
    """Its stderr is read on and on, as nobody may wait for a pipe that is full."""

    def wait_ready(self) -> Watched:
        super().wait_ready()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        return self

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            while data := os.read(pipe.fileno(), 65536):
                self.stderr += data

    def end(self, sig: signal.Signals) -> int:
        """Signal it and wait until it is gone; its exit code."""
        self.process.send_signal(sig)
        code = self.process.wait(READY_S)
        self._reading.join(1)  # no longer: workers may outlive their supervisor, and hold its pipe
        return code


class Control(Watched):
    """It finds a resolver that never answers: some apps have names that resolve slowly."""

    def _command(self) -> list[str]:
        folder = self.settings["token_file"].parent  # type: ignore[attr-defined]
        mounts = [f"mount --bind {folder}/{file} /etc/{file}" for file in ("resolv.conf", "hosts")]
        script = " && ".join([*mounts, 'exec "$@"'])
        return ["unshare", "-m", "sh", "-c", script, "sh", *super()._command()]


@dataclass
class Away:
    """A time in which a router was not asked to serve."""

    router: int
    at: float
    is_killed: bool  # with its workers and their connections
    gone_at: float = 0.0


class Plane:
    """All of them; `folder` is the soak's own, `disk` a small file system in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk = folder, folder / "disk"
        self.tokens = {name: f"{name}-{os.urandom(16).hex()}" for name in _TOKENS}
        lines = (f"{name} {role} {self.tokens[name]}\n" for name, role in _TOKENS.items())
        (folder / "tokens").write_text("".join(lines))
        (folder / "tokens").chmod(0o600)
        (folder / "resolv.conf").write_text(f"nameserver {_RESOLVER}\n")
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        self.said = b""  # by those that have ended
        self.aways: list[Away] = []
        self.routers: list[Watched] = []
        self.down: set[int] = set()  # routers that whoever balances the load does not ask
        self.admin = f"{_CONTROL}:0"

    def __enter__(self) -> Plane:
        with contextlib.ExitStack() as stack:
            self._resolver = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            self._resolver.bind((_RESOLVER, 53))
            self.disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(self.disk)]
            subprocess.run(mount, check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", str(self.disk)], check=True)
            stack.callback(self._kill_what_is_left)
            self.start()
            for number, host in enumerate(_ROUTERS):
                self.routers.append(self._router(number, f"{host}:0"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill_what_is_left(self) -> None:
        for server in (self.control, *self.routers):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(READY_S)
        for pid in marked(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- control

    def start(self) -> None:
        """Start control, again at the address that routers and callers know."""
        self.control = Control(
            "control", admin=self.admin, state=self.disk / "s", token_file=self.folder / "tokens",
            runtimes="process,endpoint", restart_backoff_s=0.2, router_lease_s=15,
            progress_deadline_s=20, journal_app_records=1_000_000,
        )  # fmt: skip
        self.control.wait_ready()
        self.admin = self.control.facts["admin"]

    def end(self, sig: signal.Signals) -> int:
        """End control; its exit code."""
        code = self.control.end(sig)
        self.said += self.control.stderr
        return code

    def database(self) -> sqlite3.Connection:
        """Control's own, behind its back."""
        return sqlite3.connect(self.disk / "s" / "control.db", isolation_level=None, timeout=10)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While nothing can be written into the database."""
        with contextlib.closing(self.database()) as db:
            db.execute("BEGIN EXCLUSIVE")
            yield

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """While the disk has no free byte."""
        path = self.disk / "fill"
        with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        yield
        path.unlink()

    # --- routers

    def _router(self, number: int, listen: str) -> Watched:
        router = Watched(
            "router", listen=listen, admin=f"{_ROUTERS[number]}:0", workers=1,
            control=f"http://{self.admin}", token=self.tokens["edge"], orphan_grace_s=10,
            # Others may keep a core for longer than the default; that is not what is tried here.
            overload_lag_s=2, expose_revision=True, state=self.folder / f"router{number}",
        )  # fmt: skip
        router.wait_ready()
        until(lambda: router.call("GET", "/readyz")[0] == 200)
        return router

    def router_again(self, number: int, sig: signal.Signals, *, with_workers: bool) -> None:
        """End one router and start it at the same address."""
        router = self.routers[number]
        is_killed = with_workers and sig == signal.SIGKILL
        away = Away(number, time.monotonic(), is_killed)
        if with_workers:
            self.down.add(number)
        self.aways.append(away)
        if is_killed:
            os.killpg(router.process.pid, sig)
            until(lambda: not is_alive(router.process.pid))
        router.end(sig)
        away.gone_at = time.monotonic()
        self.said += router.stderr
        self.routers[number] = self._router(number, router.facts["ingress"])
        self.down.discard(number)

    def answers(self, number: int, app: str) -> bool:
        """Whether an app is served through a router."""
        address = self.routers[number].facts["ingress"]
        request = urllib.request.Request(f"http://{address}/", headers={"Host": f"{app}.localhost"})
        try:
            with urllib.request.urlopen(request, timeout=30):
                return True
        except OSError:
            return False

    def tables(self) -> list[str]:
        """What each router has; the order of apps is that of their changes, and means nothing."""
        tables = [router.must("GET", "/table") for router in self.routers]
        for table in tables:
            table["apps"].sort(key=operator.itemgetter("name"))
        return [str(table) for table in tables]

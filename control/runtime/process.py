"""Replicas as local processes: one process group each, found again by a mark in its environment.

The mark (this store's id and the replica's name) is written before the process exists, so a crash
between starting and recording leaves nothing that cannot be found and adopted or ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from control.errors import Invalid
from control.resources import Replica
from control.runtime.base import (
    IMAGE,
    Exit,
    Launch,
    OnExit,
    Started,
    StartFailed,
    check_is_one_program,
)
from control.template import Template
from router import children
from router.state import make_private, open_private

_INSTANCE = "TURNOUT_INSTANCE"
_REPLICA = "TURNOUT_REPLICA"
_MAX_LOG_BYTES = 10 << 20  # of one replica; the older half is kept beside it as .1
_TAIL_BYTES = 64 << 10
_EVIDENCE_LINES = 5
_FOLLOW_S = 0.2


class _Process:
    """One running replica; `popen` is None for one that an earlier control plane started."""

    def __init__(self, pid: int, address: str, popen: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.address = address
        self.popen = popen
        self.pidfd = os.pidfd_open(pid)
        self.ended = asyncio.Event()


class ProcessRuntime:
    """Runs `process:` images."""

    def __init__(self, state: Path, instance: str, on_exit: OnExit) -> None:
        self._logs = state / "logs"
        self._instance = instance
        self._on_exit = on_exit
        self._running: dict[str, _Process] = {}
        self._ports: deque[int] = deque(maxlen=256)  # handed out lately

    def check(self, template: Template) -> None:
        """A command, or the demo. Raises Invalid."""
        check_is_one_program(template)
        main = template.containers[0]
        if main.image == "process:" and not main.command:
            raise Invalid("template.containers[0].command: process: needs the command to run")
        if main.image not in ("process:", "process:demo"):
            raise Invalid(f"{IMAGE}: {main.image!r} is neither process: nor process:demo")

    async def start(self, launch: Launch) -> Started:
        """Start a process, or adopt the one that is already there. Raises StartFailed."""
        replica = launch.replica
        known = self._running.get(replica.name)
        if known is not None:
            return Started(known.address)
        container = launch.revision.template.containers[0]
        is_demo = container.image == "process:demo"
        command = children.command("control.demo_app") if is_demo else list(container.command)
        command += container.args
        port = self._free_port()
        address = f"127.0.0.1:{port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TURNOUT_")}
        environment |= launch.variables(container.env, port)
        environment |= {_INSTANCE: self._instance, _REPLICA: replica.name}
        try:
            with open_private(self._log_file(replica.name), "ab") as log:
                popen = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StartFailed(
                "StartError", f"cannot start {command[0]!r}: {error.strerror}."
            ) from None
        self._watch(replica.name, _Process(popen.pid, address, popen))
        return Started(address)

    def _free_port(self) -> int:
        """A port nobody listens on, and that was not handed out a moment ago."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in self._ports:
                self._ports.append(port)
                return port

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """TERM to the whole group, then KILL; returns when nothing of it is left."""
        process = self._running.get(replica.name)
        if process is None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await process.ended.wait()
        except TimeoutError:
            _signal_group(process.pid, signal.SIGKILL)
            await process.ended.wait()
        _signal_group(process.pid, signal.SIGKILL)  # children that outlived their leader

    async def survivors(self) -> dict[str, bool]:
        """Adopt what an earlier control plane of this store left running; returns all names."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                self._adopt(int(entry.name))
        return dict.fromkeys(self._running, True)

    def _adopt(self, pid: int) -> None:
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes()
            is_leader = os.getsid(pid) == pid
        except OSError:
            return  # gone, or not ours to see
        environment = dict(
            item.split("=", 1) for item in raw.decode(errors="replace").split("\0") if "=" in item
        )
        name = environment.get(_REPLICA, "")
        if environment.get(_INSTANCE) != self._instance or not is_leader or name in self._running:
            return
        with contextlib.suppress(OSError):
            self._watch(name, _Process(pid, f"127.0.0.1:{environment['PORT']}", None))

    def _watch(self, name: str, process: _Process) -> None:
        self._running[name] = process
        loop = asyncio.get_running_loop()
        loop.add_reader(process.pidfd, self._ended, name, process)

    def _ended(self, name: str, process: _Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        os.close(process.pidfd)
        code = process.popen.wait() if process.popen is not None else None
        del self._running[name]
        process.ended.set()
        self._on_exit(name, Exit(_as_shell(code), tuple(self._tail(name, _EVIDENCE_LINES))))

    async def hint(self, replica: Replica) -> str:
        """Nothing that its probes do not say."""
        return ""

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        """The last lines of a replica's output."""
        return self._tail(replica, tail)

    async def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        """Those, and what is written from now on."""
        log = self._log_file(replica)
        file, rest = log.open("rb") if log.exists() else io.BytesIO(), b""
        with file:
            file.seek(0, os.SEEK_END)
            for line in self._tail(replica, tail):
                yield line
            while True:
                is_running = replica in self._running
                *lines, rest = (rest + file.read()).split(b"\n")
                for raw in lines:
                    yield raw.decode(errors="replace")
                if not is_running:
                    return
                await asyncio.sleep(_FOLLOW_S)  # files have no event that asyncio could wait for

    def _tail(self, replica: str, tail: int) -> list[str]:
        try:
            with self._log_file(replica).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()[-tail:]
        except FileNotFoundError:
            return []

    def forget(self, replica: str) -> None:
        """Drop its output."""
        for suffix in (".log", ".log.1"):
            (self._logs / f"{replica}{suffix}").unlink(missing_ok=True)

    async def close(self) -> None:
        """Processes go on, and are adopted by the next control plane."""

    def _log_file(self, replica: str) -> Path:
        make_private(self._logs)
        path = self._logs / f"{replica}.log"
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path


def _as_shell(code: int | None) -> int | None:
    """137 rather than -9: the number containers and shells show for a killed process."""
    return 128 - code if code is not None and code < 0 else code


def _signal_group(pid: int, sig: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sig)

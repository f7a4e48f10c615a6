"""Replicas as local processes: a process group each, found again by marks in its environment.

The marks (this store's id, the replica's name, its revision's uid) are written before the process
exists, so a crash between starting and recording leaves nothing that cannot be found and then
adopted or ended. A replica is over when its first process is; everything else with its marks is
then killed, in whichever session or group it is (`marks.py` says what that catches).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from control.model.errors import Invalid
from control.model.kinds import ReplicaName
from control.model.resources import Replica
from control.model.template import Template
from control.runtime import marks
from control.runtime.base import (
    IMAGE,
    Exit,
    Launch,
    OnExit,
    Started,
    StartFailed,
    Survivor,
    check_is_one_program,
    check_words,
)
from control.runtime.first_processes import FirstProcesses
from control.runtime.marks import Census, Marked
from control.runtime.output import MAX_BYTES, Outputs
from router.process import children

log = logging.getLogger("turnout.control")

_INHERITED = ("PATH", "HOME", "LANG")  # no other variable of ours is passed to replicas
_EVIDENCE_LINES = 5
_SWEEPS = 20  # looks before giving up on a process that forks faster than it is killed
_SWEEP_S = 0.01


class _Process:
    """One running replica; `popen` is None if an earlier control plane started it."""

    def __init__(
        self, pid: int, uid: str, address: str, popen: subprocess.Popen[bytes] | None
    ) -> None:
        self.pid = pid
        self.uid = uid
        self.address = address
        self.popen = popen
        self.pidfd = os.pidfd_open(pid)
        self.is_ending = False  # whether it was asked to end
        self.is_dead = False  # whether its first process has ended
        self.ended = asyncio.Event()  # set when nothing of it is left


class ProcessRuntime:
    def __init__(self, state: Path, instance: str, on_exit: OnExit) -> None:
        self._outputs = Outputs(state / "logs", MAX_BYTES)
        self._firsts = FirstProcesses(state / "run", instance)
        self._instance = instance
        self._on_exit = on_exit
        self._census = Census(instance, self._firsts.running)
        self._running: dict[str, _Process] = {}
        self._ports: deque[int] = deque(maxlen=256)  # ports given out recently
        self._finishing: set[asyncio.Task[None]] = set()
        self._rotating: asyncio.Task[None] | None = None

    def check(self, template: Template) -> None:
        """Check that there is a command, or that the image is the demo. Raises Invalid."""
        check_is_one_program(template)
        check_words(template)
        main = template.containers[0]
        if main.image == "process:" and not main.command:
            raise Invalid("template.containers[0].command: process: needs the command to run")
        if main.image == "process:demo" and (main.command or main.args):
            raise Invalid(
                "template.containers[0].command: process:demo is a program of its own; to run"
                " another give the image process: with it"
            )
        if main.image not in ("process:", "process:demo"):
            raise Invalid(
                f"{IMAGE}: {main.image!r} is neither process:demo nor process: with a command"
            )

    # --- starting

    async def start(self, launch: Launch) -> Started:
        """Start a process, or adopt the one that is already there. Raises StartFailed."""
        replica, uid = launch.replica, launch.replica.revision_uid
        known = self._running.get(replica.name)
        if known is not None and known.uid == uid and not known.is_ending:
            return Started(known.address)
        if known is not None:
            await self.stop(replica, replica.grace_s)
        container = launch.revision.template.containers[0]
        is_demo = container.image == "process:demo"
        command = children.command("control.demo.app") if is_demo else list(container.command)
        command += container.args
        port = self._free_port()
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= launch.variables(container.env, port)
        environment |= marks.variables(self._instance, replica.name, uid)
        try:
            with self._outputs.open(replica.name) as output:
                popen = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StartFailed(
                "StartError", f"cannot start {command[0]!r}: {error.strerror}."
            ) from None
        self._firsts.note(replica.name, popen.pid, uid, port)
        process = _Process(popen.pid, uid, f"127.0.0.1:{port}", popen)
        self._watch(replica.name, process)
        return Started(process.address)

    def _free_port(self) -> int:
        """A port that nobody listens on and that was not given out a moment ago."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in self._ports:
                self._ports.append(port)
                return port

    # --- ending

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """Send TERM to the whole group, then KILL; returns when nothing of it is left."""
        process = self._running.get(replica.name)
        if process is None:
            return
        process.is_ending = True
        _signal_group(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await process.ended.wait()
        except TimeoutError:
            _signal_group(process, signal.SIGKILL)
            await process.ended.wait()

    def _watch(self, name: str, process: _Process) -> None:
        self._running[name] = process
        loop = asyncio.get_running_loop()
        loop.add_reader(process.pidfd, self._died, name, process)
        if self._rotating is None:
            keeping = self._outputs.keep_bounded(lambda: list(self._running))
            self._rotating = asyncio.create_task(keeping)

    def _died(self, name: str, process: _Process) -> None:
        _unwatch(process)
        _signal_group(process, signal.SIGKILL)  # kill children that outlived their leader
        process.is_dead = True
        code = process.popen.wait() if process.popen is not None else None
        task = asyncio.create_task(self._finish(name, process, code))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, name: str, process: _Process, code: int | None) -> None:
        await self._sweep(name)
        del self._running[name]
        self._firsts.forget(name)
        process.ended.set()
        if not process.is_ending:
            tail = tuple(self._outputs.tail(name, _EVIDENCE_LINES))
            self._on_exit(ReplicaName(name), Exit(_as_shell(code), tail))

    async def _sweep(self, name: str) -> None:
        """Kill whatever carries a replica's marks until nothing is left."""
        for n in range(_SWEEPS):
            left = await self._census.of(name)
            if not left:
                return
            for found in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(found.pid, signal.SIGKILL)
            await asyncio.sleep(_SWEEP_S * n)
        log.error("event=processes_left replica=%s pids=%r", name, [m.pid for m in left])

    # --- finding

    async def survivors(self) -> dict[ReplicaName, Survivor]:
        """Adopt what an earlier control plane of this store left running."""
        by_name: dict[str, list[Marked]] = {}
        for found in await self._census.take():
            by_name.setdefault(found.replica, []).append(found)
        for name, found_all in by_name.items():
            if name not in self._running and not self._adopt(name, found_all):
                await self._sweep(name)  # its first process died while no control plane ran
        return {
            ReplicaName(name): Survivor(p.uid, not p.is_dead) for name, p in self._running.items()
        }

    def _adopt(self, name: str, found: list[Marked]) -> bool:
        known = self._firsts.of(name)  # if it was not noted, take the oldest leader of a session
        first = next(
            (m for m in found if m.is_leader and _is_first(m, known)),
            None,
        )
        if first is None or not first.port:
            return False
        try:
            process = _Process(first.pid, first.uid, f"127.0.0.1:{first.port}", None)
        except OSError:
            return False
        self._watch(name, process)
        return True

    async def images(self, template: Template) -> dict[str, str]:
        """Empty: processes have no images."""
        return {}

    async def hint(self, replica: Replica) -> str:
        """Empty: nothing is known beyond what probes report."""
        return ""

    # --- output

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        return self._outputs.tail(replica, tail)

    def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        """The last lines of the output, then new lines until the replica has ended."""
        return self._outputs.follow(replica, tail, lambda: replica in self._running)

    def forget(self, replica: str) -> None:
        self._outputs.forget(replica)

    async def close(self) -> None:
        """Stop watching; processes run on, and the next control plane adopts them."""
        for process in self._running.values():
            if not process.is_dead:
                _unwatch(process)
        tasks = [*self._finishing, *([self._rotating] if self._rotating is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()


def _is_first(found: Marked, known: Marked | None) -> bool:
    return known is None or (found.pid, found.began) == (known.pid, known.began)


def _unwatch(process: _Process) -> None:
    asyncio.get_running_loop().remove_reader(process.pidfd)
    os.close(process.pidfd)


def _as_shell(code: int | None) -> int | None:
    """137 instead of -9: containers and shells show this number for a killed process."""
    return 128 - code if code is not None and code < 0 else code


def _signal_group(process: _Process, sig: signal.Signals) -> None:
    if not process.is_dead:  # once it is dead, its number may belong to another process
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sig)

"""`turnout up`: a control plane and a router on one host, as two processes kept alive.

They are separate so that neither takes the other down: the router serves on while the control plane
is replaced, and the other way round. Both end when this process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from router.process import children
from router.process.children import VARIABLE
from router.process.listeners import INHERITED, activated, notify
from router.process.state import lock_alone, prepare, write_durably

LOCK = "up.lock"
ADDRESSES = "up.json"  # addresses of the running `up`, for commands that print an app's URL
_RESTART_S = 0.2
_LONGEST_RESTART_S = 10.0  # the longest pause before a part that dies again and again is restarted
_SETTLED_S = 30.0  # a part that lived this long has its next death counted as the first
_LAST_WORDS_S = 0.2  # for reading what a part wrote before it died
_LEAVE_S = 45.0  # longer than the drain timeout; after this, a part is killed


_BAD_SETTINGS = 2


class PartFailed(Exception):
    """A part ended before it was ready; `code` is the exit code of `turnout up`."""

    def __init__(self, module: str, code: int) -> None:
        super().__init__(f"{module} ended before it was ready (exit code {code})")
        # Bad settings keep their exit code. A part that exits with 0 has not served, either.
        self.code = code if code == _BAD_SETTINGS else 1


async def unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do `work`, but cancel it when `stop` is set first; returns whether it was done."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return False


def _lock(state: Path) -> IO[str]:
    """Lock the state directory: two `up` would take each other's sockets. Raises BadSettings."""
    prepare(state)
    lock = lock_alone(state / LOCK, state, "turnout")
    lock.truncate(0)
    lock.write(str(os.getpid()))  # `turnout upgrade` reads it
    lock.flush()
    return lock


def running(state: Path) -> int:
    """The process id of the `turnout up` on a state directory; 0 if there is none."""
    try:
        with (state / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((state / LOCK).read_text() or 0)
    except OSError:
        pass
    return 0


@dataclass
class _Part:
    """One of the two processes."""

    module: str
    environment: dict[str, str]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    facts: dict[str, str] = field(default_factory=dict)  # the fields of its ready line
    process: Process | None = None


class Launcher:
    """Runs both parts; `ingress` and `admin` can be read once `start` has returned."""

    def __init__(self, environment: dict[str, str], state: Path) -> None:
        self.state = state
        self._lock = _lock(state)
        sync, admin = f"unix:{state}/sync.sock", f"unix:{state}/router.sock"
        base = {**os.environ, **environment, "TURNOUT_STATE": str(state)}
        self._control = _Part(
            "control",
            {
                **base,
                "TURNOUT_SYNC": sync,
                "TURNOUT_ROUTER_ADMIN": admin,
                "TURNOUT_ON_EXIT": base.get("TURNOUT_ON_EXIT") or "stop",
            },
        )
        self._sockets = activated()
        self._router = _Part(
            "router",
            {
                **base,
                "TURNOUT_CONTROL": sync,
                "TURNOUT_ADMIN": admin,
                "TURNOUT_ROUTES": "",
                INHERITED: ",".join(str(s.fileno()) for s in self._sockets),
            },
        )
        self._parent_end, self._our_end = os.pipe()
        self._keepers: list[asyncio.Task[None]] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    @property
    def ingress(self) -> str:
        """The ingress address as HOST:PORT."""
        return self._router.facts["ingress"]

    @property
    def admin(self) -> str:
        """The admin port's address as HOST:PORT."""
        return self._control.facts["admin"]

    async def start(self) -> None:
        """Start both parts; returns when requests are served. Raises PartFailed."""
        for part in (self._control, self._router):
            self._keepers.append(asyncio.create_task(self._keep(part)))
        both = asyncio.create_task(self._both_ready())
        done, _ = await asyncio.wait({both, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
        for failed in done - {both}:
            both.cancel()
            failed.result()

    async def _both_ready(self) -> None:
        for part in (self._control, self._router):
            await part.ready.wait()

    async def _keep(self, part: _Part) -> None:
        """Start a part, and restart it whenever it dies after it has been ready."""
        pause = _RESTART_S
        while True:
            began = time.monotonic()
            code = await self._run(part)
            if self._is_leaving:
                return
            if not part.ready.is_set():
                raise PartFailed(part.module, code)
            print(f"turnout: {part.module} ended (exit code {code}); restarting", file=sys.stderr)
            pause = _RESTART_S if time.monotonic() - began > _SETTLED_S else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RESTART_S)

    async def _run(self, part: _Part) -> int:
        environment = {**part.environment, VARIABLE: str(self._parent_end)}
        # A pipe of our own: asyncio takes a process for running until its pipes are closed, and the
        # workers of a killed router serve on for a while and hold them.
        read_end, write_end = os.pipe()
        process = part.process = await asyncio.create_subprocess_exec(
            *children.command(part.module),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=write_end,
            pass_fds=(self._parent_end, *(s.fileno() for s in self._sockets)),
            # Ctrl-C must not reach the parts: we stop them in the right order
            start_new_session=True,
        )
        os.close(write_end)
        reader = asyncio.create_task(self._read(part, read_end))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        code = await process.wait()
        await asyncio.wait({reader}, timeout=_LAST_WORDS_S)
        return code

    async def _read(self, part: _Part, read_end: int) -> None:
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            while line := await stream.readline():
                if line.startswith(b"ready "):
                    self._note_ready(part, line.decode())
                else:
                    sys.stderr.write(line.decode(errors="replace"))
        finally:
            transport.close()

    def _note_ready(self, part: _Part, line: str) -> None:
        part.facts = dict(word.split("=", 1) for word in line.split()[1:])
        # A restarted part must return to its address, even if the setting was port 0.
        if part is self._control:
            part.environment["TURNOUT_ADMIN"] = part.facts["admin"]
            if azure := part.facts.get("azure"):
                part.environment["TURNOUT_AZURE_PORT"] = azure.rpartition(":")[2]
        else:
            part.environment["TURNOUT_LISTEN"] = part.facts["ingress"]
        part.ready.set()

    def announce(self) -> None:
        """Print the line that says that requests are accepted."""
        azure = self._control.facts.get("azure")
        also = f" azure={azure}" if azure else ""
        line = f"ready ingress={self.ingress} admin={self.admin}{also}"
        with contextlib.suppress(OSError):  # without the file, URLs are printed without a port
            known = {"ingress": self.ingress, "admin": self.admin}
            write_durably(self.state / ADDRESSES, json.dumps(known).encode())
        print(line, file=sys.stderr, flush=True)
        notify("READY=1")

    def forward(self, number: int) -> None:
        """Pass on SIGHUP (read files again) or SIGUSR2 (continue with the installed code)."""
        for part in (self._router, self._control):
            if part.process is not None and part.process.returncode is None:
                part.process.send_signal(number)

    async def stop(self) -> None:
        """Stop both: the router drains first, then the control plane ends the replicas."""
        self._is_leaving = True
        for part in (self._router, self._control):
            process = part.process
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                async with asyncio.timeout(_LEAVE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._keepers, *self._readers, return_exceptions=True)
        os.close(self._parent_end)
        os.close(self._our_end)
        self._lock.close()


async def run(
    environment: dict[str, str],
    state: Path,
    then: Callable[[Launcher, asyncio.Event], Coroutine[None, None, None]],
) -> int:
    """Run both parts, with `then` beside them until it returns; returns the exit code.

    `then` is given an event that SIGTERM and SIGINT set. Raises BadSettings.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    launcher = Launcher(environment, state)
    for sig in (signal.SIGHUP, signal.SIGUSR2):
        loop.add_signal_handler(sig, launcher.forward, sig)
    try:
        if await unless(stop, launcher.start()):
            await then(launcher, stop)
    except PartFailed as error:
        print(f"turnout: {error}", file=sys.stderr)
        return error.code
    finally:
        await launcher.stop()
    return 0

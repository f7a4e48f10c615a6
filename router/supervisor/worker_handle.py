"""A worker as the supervisor sees it: its process, its channel, its last report."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from router.contract.settings import RouterSettings
from router.contract.snapshot import App, Snapshot
from router.process import children
from router.routing.reports import WorkerReport
from router.supervisor import standins
from router.supervisor.handover import OldWorker
from router.tracing.tracer import Noted
from router.worker.channel import Channel
from router.worker.messages import FromWorker

# glibc returns what is freed to the kernel and asks for it again with every 256 KiB that uvloop
# reads, and the kernel clears each page anew: 1 MiB of answer cost 1,080 us of CPU with its own
# thresholds and 540 us with these. A worker keeps at most the trim threshold for that.
_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
}
_TOLD_POLL_S = 0.01
_APPS_PER_FRAME = 100  # a worker compiles one frame per turn of its loop: about 1 ms


class WorkerHandle:
    """One slot of the supervisor: a listening socket and the process that accepts on it.

    The process inherits the sockets of all slots (`listeners`), so that it can accept for others.
    """

    def __init__(
        self,
        slot: int,
        listeners: Sequence[socket.socket],
        on_message: Callable[[WorkerHandle], None],
    ) -> None:
        self.slot = slot
        self._listeners = listeners
        self.applied: tuple[str, int] = ("", 0)
        self.stats: WorkerReport | None = None
        self.connections = 0
        self.upstream: dict[str, tuple[int, int, int]] = {}  # active, idle, connecting
        self.departed: dict[str, int] = {}
        self.queued: dict[str, int] = {}
        self.stalled = 0
        self.deaths = 0  # deaths in a row
        self.heard_at = time.monotonic()  # its last message, or its start before the first
        self.has_spoken = False
        self._stands_in_for: tuple[int, ...] = ()
        self.answered = 0  # the number of the last request for counters that it answered
        self._on_message_seen = on_message
        self.on_spans: Callable[[Sequence[Noted], int], None] = lambda spans, dropped: None
        self._process: subprocess.Popen[bytes] | _Adopted | None = None
        self._channel: Channel | None = None
        self.ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.slot} pid={self.pid} applied={self.applied}>"

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    @property
    def listener(self) -> socket.socket:
        """The slot's own listening socket."""
        return self._listeners[self.slot]

    @property
    def is_running(self) -> bool:
        """Whether the process exists, whatever it does."""
        return self._channel is not None and not self.ended.is_set()

    @property
    def quiet_s(self) -> float:
        """Seconds since its last message."""
        return time.monotonic() - self.heard_at

    @property
    def routes(self) -> bool:
        """Whether the process has a table."""
        return self.applied[1] > 0

    @property
    def is_serving(self) -> bool:
        """Whether the process has a table and reports regularly."""
        return self.is_running and self.routes and self.quiet_s < standins.QUIET_S

    @property
    def is_absent(self) -> bool:
        """Whether the slot has no process that can be expected to answer soon."""
        is_late = self.ended.is_set() or self.quiet_s >= standins.QUIET_S
        return not self.is_serving and (self.deaths > 0 or is_late)

    @property
    def is_excused(self) -> bool:
        """Whether nothing can be expected of the slot, because its process is broken or stalled."""
        return self.is_absent and (self.deaths > 1 or self.routes)

    async def start(self, settings: RouterSettings, inherited: Iterable[int] = ()) -> None:
        """Spawn the process and hand it its settings. Raises OSError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fds = (theirs.fileno(), *(listener.fileno() for listener in self._listeners))
        arguments = map(str, (self.slot, *fds))
        try:
            # Spawned, because a fork would inherit the loop and every descriptor of the supervisor.
            self._process = subprocess.Popen(
                children.command("router.worker.worker", *arguments),
                pass_fds=(*fds, *inherited),
                env=_MALLOC | os.environ,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        channel = await self._talk(ours)
        wire = dataclasses.asdict(settings) | {"state": str(settings.state)}
        channel.send({"type": "settings", "settings": wire})

    async def adopt(self, old: OldWorker) -> None:
        """Take over a process that the code before an upgrade started from this process."""
        self._process = _Adopted(old.pid)
        self.stats = old.stats
        await self._talk(socket.socket(fileno=old.channel), old.unread)

    async def _talk(self, sock: socket.socket, unread: bytes = b"") -> Channel:
        self.ended = asyncio.Event()
        self.heard_at, self.has_spoken, self._stands_in_for = time.monotonic(), False, ()
        channel = Channel(self._on_message, self.ended.set)
        channel.begin_with(unread)
        await asyncio.get_running_loop().create_connection(lambda: channel, sock=sock)
        self._channel = channel
        self._socket = sock
        return channel

    def hand_over(self) -> OldWorker | None:
        """What the next supervisor needs to take over the process; None when it has ended."""
        if self._channel is None or self.ended.is_set():
            return None
        channel = os.dup(self._socket.fileno())
        return OldWorker(self.slot, self.pid, channel, self._channel.unread, self.stats)

    def has_died(self, *, is_steady: bool) -> None:
        """Count a death; after a steady life it is the first in a row again."""
        self.deaths = 1 if is_steady else self.deaths + 1
        self.applied = ("", 0)

    def _on_message(self, message: FromWorker) -> None:
        self.heard_at, self.has_spoken = time.monotonic(), True
        if message["type"] == "applied":
            # An old worker whose code does not report what it still owes is not believed to be
            # idle.
            if "departed" in message:
                self.applied = (message["epoch"], message["version"])
                self.departed = message["departed"]
        elif message["type"] == "stats":
            self.stats = message["stats"]
            self.connections = message["connections"]
            self.upstream = {k: (v[0], v[1], v[2]) for k, v in message["upstream"].items()}
            self.departed = message["departed"]
            self.queued = message["queued"]
            self.stalled = message["stalled"]
            self.answered = message["asked"] or self.answered
        elif message["type"] == "spans":
            self.on_spans(message["spans"], message["dropped"])
        self._on_message_seen(self)

    def send_table(
        self, snapshot: Snapshot, changed: Sequence[App], dropped: Iterable[str]
    ) -> None:
        """Send what changed, then the order to swap; does nothing without a process."""
        if self._channel is None:
            return
        rest = iter(changed)
        while batch := list(islice(rest, _APPS_PER_FRAME)):
            self._channel.send({"type": "apps", "domain": snapshot.domain, "apps": batch})
        self._channel.send(
            {
                "type": "swap",
                "domain": snapshot.domain,
                "version": snapshot.version,
                "epoch": snapshot.epoch,
                "dropped": list(dropped),
            }
        )

    @property
    def is_told(self) -> bool:
        """Whether its socket holds every message sent to it, or it is gone."""
        return self._channel is None or self._channel.is_sent

    async def all_told(self) -> None:
        """Wait until `is_told`."""
        while True:
            # Let the loop turn once: what was sent in this turn is not counted in the socket yet.
            await asyncio.sleep(_TOLD_POLL_S)  # polled, because it happens once per upgrade
            if self.is_told:
                return

    def ask_stats(self, number: int) -> None:
        if self._channel is not None:
            self._channel.send({"type": "stats", "asked": number})

    def stand_in_for(self, slots: tuple[int, ...]) -> None:
        """Have it accept on the sockets of exactly these slots, beside its own."""
        if self._channel is not None and slots != self._stands_in_for:
            self._stands_in_for = slots
            self._channel.send({"type": "accept", "slots": [self.slot, *slots]})

    def drain(self, *, idle_s: float, tunnels_s: float) -> None:
        """Ask it to finish its requests and exit.

        Idle connections may bring another request for `idle_s`; tunnels may live for `tunnels_s`.
        """
        if self._channel is not None:
            self._channel.send({"type": "drain", "idle_s": idle_s, "tunnels_s": tunnels_s})

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    async def reap(self) -> int:
        """Wait for the process to end, once its channel has closed."""
        await self.ended.wait()
        process = self._process
        assert process is not None
        for _ in range(200):
            if (code := process.poll()) is not None:
                return code
            await asyncio.sleep(0.01)
        process.kill()
        return process.wait()


class _Adopted:
    """A child process that an earlier code of this same process started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._code = -1
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

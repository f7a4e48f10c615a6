"""A worker as the supervisor sees it: its process, its channel, what it said last."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from router.channel import Channel, Message
from router.settings import RouterSettings
from router.snapshot import App, Snapshot

_APPS_PER_FRAME = 100  # a worker compiles one frame per turn of its loop: about 1 ms


class WorkerHandle:
    """One slot of the supervisor: a listening socket and the process that accepts on it."""

    def __init__(
        self, slot: int, listener: socket.socket, on_message: Callable[[WorkerHandle], None]
    ) -> None:
        self.slot = slot
        self.listener = listener
        self.applied: tuple[str, int] = ("", 0)
        self.stats: dict[str, Any] | None = None
        self.connections = 0
        self.upstream: dict[str, tuple[int, int]] = {}
        self.departed: dict[str, int] = {}
        self.answered = 0  # the number of the last stats request it answered
        self._on_message_seen = on_message
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.slot} pid={self.pid} applied={self.applied}>"

    @property
    def pid(self) -> int:
        """Process id, 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self, settings: RouterSettings) -> None:
        """Spawn the process and hand it its settings."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fds = (self.listener.fileno(), theirs.fileno())
        # spawn, not fork: a fork would inherit the loop and every descriptor of the supervisor
        self._process = subprocess.Popen(
            [sys.executable, "-m", "router.worker", *map(str, fds)], pass_fds=fds
        )
        theirs.close()
        self.ended = asyncio.Event()
        channel = Channel(self._on_message, self.ended.set)
        await asyncio.get_running_loop().create_connection(lambda: channel, sock=ours)
        self._channel = channel
        wire = dataclasses.asdict(settings) | {"state": str(settings.state)}
        channel.send({"type": "settings", "settings": wire})

    def _on_message(self, message: Message) -> None:
        if message["type"] == "applied":
            self.applied = (message["epoch"], message["version"])
        elif message["type"] == "stats":
            self.stats = message["stats"]
            self.connections = message["connections"]
            self.upstream = {k: (v[0], v[1]) for k, v in message["upstream"].items()}
            self.departed = message["departed"]
            self.answered = message["asked"] or self.answered
        self._on_message_seen(self)

    def send_table(
        self, snapshot: Snapshot, changed: Sequence[App], dropped: Iterable[str]
    ) -> None:
        """Hand over what changed, then the order to swap."""
        assert self._channel is not None
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

    def ask_stats(self, number: int) -> None:
        """Ask for the counters; the answer carries `number`."""
        if self._channel is not None:
            self._channel.send({"type": "stats", "asked": number})

    def drain(self) -> None:
        """Ask it to finish what is in flight and leave."""
        if self._channel is not None:
            self._channel.send({"type": "drain"})

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    async def reap(self) -> int:
        """Wait for the process to end, once its channel has."""
        await self.ended.wait()
        process = self._process
        assert process is not None
        for _ in range(200):
            if (code := process.poll()) is not None:
                return code
            await asyncio.sleep(0.01)
        process.kill()
        return process.wait()

"""The channel between supervisor and worker, over a real socket pair."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from router.supervisor.worker_handle import WorkerHandle
from router.worker.channel import MAX_FRAME_BYTES, Channel
from tests.support.edges import eventually


class End:
    """One end: what it heard, and whether the other is gone."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.is_lost = False
        self.channel = Channel(self.heard.append, self._lost)

    def _lost(self) -> None:
        self.is_lost = True


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[End, End]]:
    loop = asyncio.get_running_loop()
    ends = End(), End()
    for end, sock in zip(ends, socket.socketpair(), strict=True):
        sock.setblocking(False)
        await loop.create_connection(lambda end=end: end.channel, sock=sock)  # type: ignore[misc]
    try:
        yield ends
    finally:
        for end in ends:
            end.channel.close()
        await eventually(lambda: all(end.is_lost for end in ends))


async def test_a_message_longer_than_a_frame_arrives_whole() -> None:
    """As the figures of 50,000 revisions, or the endpoints of a hundred very large apps."""
    long = {"type": "stats", "stats": "x" * (2 * MAX_FRAME_BYTES + 5)}
    async with joined() as (worker, supervisor):
        worker.channel.send({"type": "first"})
        worker.channel.send(long)
        worker.channel.send({"type": "last"})
        await eventually(lambda: len(supervisor.heard) == 3)

        assert supervisor.heard == [{"type": "first"}, long, {"type": "last"}]
        assert not supervisor.is_lost


async def test_a_length_that_no_frame_can_have_ends_the_channel() -> None:
    async with joined() as (worker, supervisor):
        worker.channel._transport.write((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
        await eventually(lambda: supervisor.is_lost)


async def test_half_a_message_is_finished_by_the_next_supervisor() -> None:
    """An upgrade may come in the middle of a worker's report."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    report = End()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    wire = _frame(b'{"type":"applied","epoch":"e","version":7,"departed":{"v1":2}}')
    try:
        before = WorkerHandle(0, [], lambda _: None)
        before._process = process
        await before._talk(ours)
        assert before._channel is not None
        theirs.sendall(wire[:20])
        await eventually(lambda: len(before._channel.unread) == 20)
        old = before.hand_over()
        assert old is not None
        before._channel._transport.pause_reading()  # as an exec ends its reading

        after = WorkerHandle(0, [], lambda worker: report.heard.append({"at": worker.applied}))
        await after.adopt(old)
        theirs.sendall(wire[20:])
        await eventually(lambda: report.heard)
        assert after.applied == ("e", 7)
        assert after.departed == {"v1": 2}
    finally:
        theirs.close()
        before._channel._transport.abort()
        await eventually(lambda: after.ended.is_set())
        process.communicate(b"\n")


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def test_a_worker_that_does_not_say_what_it_owes_has_not_applied_a_table() -> None:
    """So one of code that was replaced: an acknowledgement without it costs requests."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    heard = asyncio.Event()
    worker = WorkerHandle(0, [], lambda _: heard.set())
    await worker._talk(ours)
    theirs.sendall(_frame(b'{"type":"applied","epoch":"e","version":7}'))
    await heard.wait()
    assert worker.applied == ("", 0)
    theirs.close()
    await worker.ended.wait()

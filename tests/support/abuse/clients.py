"""Clients that behave badly: each function is one of them, from its connection to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from random import uniform

from tests.support.abuse.wire import Answer, Raw

_SMALL_BUFFER = 4096  # of the socket: whoever reads nothing is felt soon
_BATCH = 512 << 10


def get(host: str, path: str = "/", more: str = "") -> bytes:
    """The wire of a GET; `more` are whole lines."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def upgrade(host: str, path: str) -> bytes:
    """The wire of a WebSocket's handshake."""
    lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    return get(host, path, lines + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


Client = Callable[[], Awaitable[object]]


async def again_until(ends_at: float, client: Client, pause_s: float = 0.0) -> int:
    """One client after the other until a time of the loop's clock; how many there were."""
    n = 0
    while asyncio.get_running_loop().time() < ends_at:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await client()
        n += 1
        await asyncio.sleep(pause_s)
    return n


async def gives_up_near_the_answer(port: int, host: str, answer_ms: int) -> None:
    """Ask what is answered after `answer_ms`, and reset the connection about then."""
    raw = await Raw.to(port)
    await raw.send(get(host, f"/late/{answer_ms}"))
    await asyncio.sleep(max(0.0, answer_ms + uniform(-2, 4)) / 1000)
    raw.reset()


async def asks(port: int, wire: bytes, timeout_s: float = 10.0) -> Answer:
    """One request on a connection of its own."""
    async with await Raw.to(port) as raw:
        await raw.send(wire)
        return await raw.answer(timeout_s)


async def asks_in_a_row(port: int, wires: Iterable[bytes]) -> int:
    """One request after the other, on one connection while it is kept; how many were answered."""
    raw, answered = await Raw.to(port), 0
    try:
        for wire in wires:
            with contextlib.suppress(OSError):
                await raw.send(wire)
            answer = await raw.answer(10.0)
            answered += bool(answer.status)
            if not answer.is_complete or answer.fields.get(b"connection", b"") == b"close":
                raw.close()
                raw = await Raw.to(port)
    finally:
        raw.close()
    return answered


async def reads_nothing(port: int, *wires: bytes, seconds: float) -> Raw:
    """Send requests and read nothing for a while; returns the connection, still open."""
    raw = await Raw.to(port, receive_buffer=_SMALL_BUFFER)
    await raw.send(b"".join(wires))
    await asyncio.sleep(seconds)
    return raw


async def pipelines(port: int, host: str, size: int) -> int:
    """As many requests as fit in `size` bytes, at once; how many answers came in ten seconds."""
    wire = get(host)
    n = size // len(wire)
    async with await Raw.to(port) as raw:
        sending = asyncio.create_task(raw.send(wire * n))
        answered = 0
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(10):
                while answered < n and (data := await raw.receive()):
                    answered += data.count(b"HTTP/1.1 ")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return answered


async def uploads_in_one_byte_chunks(port: int, host: str, chunks: int, timeout_s: float) -> Answer:
    """A body of so many chunks of one byte each."""
    async with await Raw.to(port) as raw:
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire = head.encode() + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n"
        sending = asyncio.create_task(raw.send(wire))
        answer = await raw.answer(timeout_s)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return answer


async def uploads(port: int, host: str, size: int, timeout_s: float) -> Answer:
    """A body of so many bytes."""
    async with await Raw.to(port) as raw:
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n"
        sending = asyncio.create_task(raw.send(head.encode() + bytes(size)))
        answer = await raw.answer(timeout_s)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return answer


async def sends_tiny_frames(port: int, host: str, size: int, timeout_s: float) -> bool:
    """A WebSocket of ten-byte frames, `size` bytes of them; whether the replica got all."""
    frame = b"\x81\x84\x00\x00\x00\x00ping"
    async with await Raw.to(port) as raw, asyncio.timeout(timeout_s):
        await raw.send(upgrade(host, f"/{size}"))
        await raw.receive()
        for _ in range(0, size, _BATCH):
            await raw.send(frame * (_BATCH // len(frame)))
        await raw.send(frame * (_BATCH // len(frame)))  # the last batch may be a short one
        return b"done" in await raw.receive()


async def receives_tiny_frames(port: int, host: str, frames: int, timeout_s: float) -> int:
    """A WebSocket whose replica sends ten-byte frames; how many bytes of them came."""
    async with await Raw.to(port) as raw:
        await raw.send(upgrade(host, f"/{frames}"))
        size, wire = 0, b""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(timeout_s):
                while b"\r\n\r\n" not in wire:
                    data = await raw.receive()
                    if not data:
                        return 0
                    wire += data
                size = len(wire) - wire.index(b"\r\n\r\n") - 4
                while size < frames * 10 and (data := await raw.receive()):
                    size += len(data)
        return size


async def sends_slowly(port: int, wire: bytes, pause_s: float, most_s: float) -> tuple[float, str]:
    """Byte by byte: after how long the proxy ended it, and how; `open` if it did not."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with await Raw.to(port) as raw:
        ending = asyncio.create_task(raw.end(most_s))
        for i in range(len(wire)):
            if ending.done() or loop.time() - began > most_s:
                break
            with contextlib.suppress(OSError):
                await raw.send(wire[i : i + 1])
            await asyncio.wait({ending}, timeout=pause_s)
        how = await ending
        return loop.time() - began, how


async def ends_in_packets_of_one_byte(
    port: int, wire: bytes, packets: int, timeout_s: float
) -> Answer:
    """The last bytes each on their own, a millisecond apart, so that each is read alone."""
    async with await Raw.to(port) as raw:
        await raw.send(wire[:-packets])
        for i in range(len(wire) - packets, len(wire)):
            await asyncio.sleep(0.001)
            await raw.send(wire[i : i + 1])
        return await raw.answer(timeout_s)


async def half_closes(port: int, wire: bytes, timeout_s: float) -> str:
    """Send, say that nothing more will come, and wait for the proxy's own end."""
    async with await Raw.to(port) as raw:
        await raw.send(wire)
        raw.half_close()
        return await raw.end(timeout_s)


async def comes_and_goes(port: int, host: str) -> Answer:
    """One request, then an abrupt end of a connection that would have been kept."""
    raw = await Raw.to(port)
    try:
        await raw.send(get(host))
        return await raw.answer(5.0)
    finally:
        raw.close()

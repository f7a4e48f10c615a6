"""A raw connection of a client that chooses each byte, and whether it reads at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType

from httptools import HttpParserError, HttpResponseParser

_RESET = struct.pack("ii", 1, 0)
_READ_BYTES = 256 << 10


class Answer:
    """A response as it is read: what it says, and whether it came to a proper end."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.size = 0  # bytes of its body
        self.start = b""  # the first piece of it
        self.is_complete = False
        self.end = "open"  # how the connection stands behind it: open, closed or reset
        self._parser = HttpResponseParser(self)

    def __str__(self) -> str:
        is_whole = "complete" if self.is_complete else "incomplete"
        return f"{self.status or 'no'} answer, {self.size:,} bytes, {is_whole}, {self.end}"

    @property
    def is_framed(self) -> bool:
        """Whether the answer itself says where it ends."""
        return b"content-length" in self.fields or b"transfer-encoding" in self.fields

    @property
    def looks_complete(self) -> bool:
        """Whether a client has to take it for the whole answer."""
        return self.is_complete or (
            bool(self.status) and not self.is_framed and self.end == "closed"
        )

    def feed(self, data: bytes) -> None:
        """Read on. Raises HttpParserError for what is not a response."""
        self._parser.feed_data(data)

    # --- called by llhttp

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.start = self.start or data
        self.size += len(data)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.is_complete = True
        else:  # an interim answer: the final one is still to come
            self.status, self.fields = 0, {}


class Raw:
    """One TCP connection; nothing is read that was not asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, port: int, *, receive_buffer: int = 0) -> Raw:
        """Connect to a port of this machine; `receive_buffer` 0 is the kernel's own."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw = cls(sock)
        try:
            await raw._loop.sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return raw

    async def __aenter__(self) -> Raw:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    @property
    def local_port(self) -> int:
        """The port at this end."""
        return int(self.sock.getsockname()[1])

    async def send(self, data: bytes) -> None:
        """Send all of it; waits while the peer does not read."""
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, size: int = _READ_BYTES) -> bytes:
        """Whatever is there; nothing at the end."""
        return await self._loop.sock_recv(self.sock, size)

    async def answer(self, timeout_s: float, *, rate: float = 0) -> Answer:
        """One response, read at once or at `rate` bytes per second; never raises."""
        answer = Answer()
        size = int(rate / 50) if rate else _READ_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not answer.is_complete:
                    try:
                        data = await self.receive(size)
                        answer.feed(data)
                    except OSError:
                        answer.end = "reset"
                        break
                    except HttpParserError:
                        answer.end = "garbage"
                        break
                    if not data:
                        answer.end = "closed"
                        break
                    if rate:
                        await asyncio.sleep(len(data) / rate)
        return answer

    async def end(self, timeout_s: float) -> str:
        """Read until the peer ends it: how it did, `closed` or `reset`; `open` if it did not."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.receive():
                    pass
        except TimeoutError:
            return "open"
        except OSError:
            return "reset"
        return "closed"

    def reset(self) -> None:
        """End it with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it."""
        self.sock.close()

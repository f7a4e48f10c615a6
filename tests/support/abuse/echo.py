"""The replica of well-behaved clients: each answer is made of the token of its request.

`python -m tests.support.abuse.echo` prints its address. Paths: `/small/TOKEN`, `/large/TOKEN` (in
chunks), `/late/TOKEN` (after a moment), and `/echo/TOKEN`, which sends the body back.
"""

from __future__ import annotations

import asyncio
import os
from random import random
from typing import cast

import uvloop
from httptools import HttpRequestParser

from tests.support.abuse.processes import Beside, until_stdin_ends

LARGE_LINES = 400
_LATEST_S = 0.05
_CHUNK_BYTES = 4096


def expected(kind: str, token: str, sent: bytes) -> bytes:
    """The body that a request has to be answered with."""
    if kind == "echo":
        return sent
    line = f"{token}\n".encode()
    return line * LARGE_LINES if kind == "large" else line


class Echo(asyncio.Protocol):
    """One connection of a proxy."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # --- called by llhttp

    def on_message_begin(self) -> None:
        self._url, self._body = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        _, kind, token = (*self._url.decode().split("/"), "", "")[:3]
        body = expected(kind, token, b"".join(self._body))
        head = f"HTTP/1.1 200 OK\r\nX-Token: {token}\r\n".encode()
        if kind == "large":
            pieces = [body[i : i + _CHUNK_BYTES] for i in range(0, len(body), _CHUNK_BYTES)]
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            wire = b"".join((head, *(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces), b"0\r\n\r\n"))
        else:
            wire = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        if kind == "late":
            loop = asyncio.get_running_loop()
            loop.call_later(random() * _LATEST_S, self._transport.write, wire)
        else:
            self._transport.write(wire)


def echo() -> Beside:
    """It in a process of its own; the first line it says is its address."""
    return Beside("tests.support.abuse.echo")


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    os.write(1, f"{host}:{port}\n".encode())
    await until_stdin_ends()


if __name__ == "__main__":
    uvloop.run(_serve())

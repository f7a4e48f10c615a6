"""Any bytes in: no crash, and never a reading that differs from llhttp's.

Each target takes bytes of one side, runs them through a worker's own classes on recorded
transports, and compares what left on the other side with llhttp's reading of what came in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from router.contract.settings import RouterSettings
from router.forwarding.context import Context
from router.http.chunked import ChunkedDecoder, FramingError
from router.ingress.http1 import ClientConnection
from router.ingress.refusals import read_unusual
from router.routing.table import Compiler
from router.upstream.http1 import UpstreamConnection
from tests.support.builders import a_revision, an_app


class Transport:
    """Records what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_aborted = False
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 80) if name in ("peername", "sockname") else None

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def set_protocol(self, _: Any) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Loop:
    """Runs callbacks when told to."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def turn(self) -> None:
        """Run until nothing is left to do: long input is taken up over several turns."""
        while self._soon:
            soon, self._soon = self._soon, []
            for call in soon:
                call()


class Rig:
    """One client, one replica with a pooled connection, no sockets."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.edge = Context(
            RouterSettings(routes="-", via=False), cast(asyncio.AbstractEventLoop, self.loop)
        )
        compiler = Compiler(self.edge.registry, self.edge.stats)
        app = compiler.app(an_app(a_revision("v1", 100)), "localhost")
        self.edge.table = compiler.table(
            self.edge.table, domain="localhost", version=1, epoch="e", changed=[app]
        )
        (replica,) = self.edge.registry
        self.replica_end = Transport()
        self.upstream = UpstreamConnection(replica, self.edge.outbox, self.edge.settings)
        self.upstream.connection_made(cast(asyncio.Transport, self.replica_end))
        self.upstream.idle_since = self.edge.clock.now
        replica.idle.append(self.upstream)
        self.client_end = Transport()
        self.client = ClientConnection(self.edge)
        self.client.connection_made(cast(asyncio.Transport, self.client_end))


class Message:
    """The first message that llhttp finds."""

    def __init__(self) -> None:
        self.parser: HttpRequestParser | HttpResponseParser | None = None
        self.target = b""
        self.body = b""
        self.method = b""
        self.complete = 0
        self.error = False

    def on_url(self, url: bytes) -> None:
        if not self.complete:
            self.target += url

    def on_headers_complete(self) -> None:
        if not self.complete and isinstance(self.parser, HttpRequestParser):
            self.method = self.parser.get_method()

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def by_llhttp(kind: Any, data: bytes) -> Message:
    """llhttp's reading of the first message in some bytes."""
    message = Message()
    message.parser = kind(message)
    try:
        message.parser.feed_data(data)
    except HttpParserUpgrade:
        message.complete = max(message.complete, 1)
    except HttpParserError:
        message.error = True
    return message


def request(data: bytes) -> None:
    """A client sends `data`: what the replica gets is one well-formed request that was asked."""
    rig = Rig()
    rig.client.data_received(data)
    rig.loop.turn()
    sent = rig.replica_end.sent
    if not sent:
        return
    end = sent.find(b"\r\n\r\n") + 4
    unusual = read_unusual(sent[:end])
    if unusual is not None:  # a method that llhttp does not know
        sent = unusual[1] + sent[end:]
    passed = by_llhttp(HttpRequestParser, sent)
    while data.startswith(b"\r\n"):
        data = data[2:]
    end = data.find(b"\r\n\r\n") + 4
    unusual = read_unusual(data[:end])
    if unusual is not None:
        data = unusual[1] + data[end:]
    asked = by_llhttp(HttpRequestParser, data)
    assert passed.complete <= 1, f"one request became {passed.complete}: {sent!r}"
    assert not passed.error or rig.replica_end.is_aborted, f"forwarded nonsense: {sent!r}"
    if rig.client_end.sent:  # the first one was refused: this is another
        return
    if b"upgrade" in data.lower():  # llhttp takes a body behind Upgrade for the next protocol's
        return
    if passed.complete:
        assert asked.complete, f"made whole what llhttp does not: {data!r} {sent!r}"
        assert passed.method == asked.method
        assert passed.body == asked.body, f"{passed.body!r} is not {asked.body!r}"
        assert asked.target.endswith(passed.target) or passed.target in (b"/", b"*") or (
            passed.target.startswith(b"/?")
        )  # fmt: skip


def response(data: bytes) -> None:
    """A replica answers with `data`: the client gets what it said, or nothing that looks whole."""
    rig = Rig()
    rig.client.data_received(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
    rig.loop.turn()
    rig.upstream.data_received(data)
    if not rig.replica_end.is_closed:
        rig.upstream.connection_lost(None)
    rig.loop.turn()
    got = by_llhttp(HttpResponseParser, rig.client_end.sent)
    said = by_llhttp(HttpResponseParser, data)
    sent = rig.client_end.sent
    if b"\r\nX-Turnout-Error: " in (_final(sent) or b""):  # and who but the edge says that?
        return
    assert not got.error, f"the client got nonsense: {sent!r}"
    mine, theirs = _final(sent), _final(data)
    if mine is None or theirs is None or not got.complete or not said.complete:
        return
    ours, whole = by_llhttp(HttpResponseParser, mine), by_llhttp(HttpResponseParser, theirs)
    if ours.complete:
        is_until_close = b"Transfer-Encoding: chunked" in mine and not whole.error
        assert whole.complete or is_until_close, f"made whole what is not: {data!r}"
        assert ours.body == whole.body, f"{ours.body!r} is not {whole.body!r}"


def _final(data: bytes) -> bytes | None:
    """The bytes behind the interim answers."""
    while data.startswith(b"HTTP/1.") and data[9:10] == b"1":
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        data = data[end + 4 :]
    return data


def chunks(data: bytes) -> None:
    """A chunked body: our decoder and llhttp agree on content and on where it ends."""
    decoder = ChunkedDecoder()
    ours: list[bytes] = []
    failed = False
    try:
        ours = decoder.feed(data)
    except FramingError:
        failed = True
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    theirs = by_llhttp(HttpRequestParser, head + data)
    if failed or not decoder.done:
        return  # ours is the stricter one
    # llhttp stops at trailers that would change the framing; we read and drop them.
    is_dropped = any(x in data.lower() for x in (b"content-length", b"transfer-encoding"))
    # RFC 9112 §7.1.1 and RFC 9110 §5.6.3: whitespace around ";" and "=" has to be read; llhttp
    # does not.
    is_spaced = re.search(rb"[ \t][;=]|[;=][ \t]", data) is not None
    if is_dropped or is_spaced:
        return
    assert theirs.complete, f"whole for us, not for llhttp: {data!r}"
    assert b"".join(ours) == theirs.body


TARGETS = {"request": request, "response": response, "chunks": chunks}

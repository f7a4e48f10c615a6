"""A small HTTP server for pages that are only read: GET and HEAD; a body is never read.

aiohttp would take a quarter of a sidecar's memory to serve four pages. The admin server bounds how
many connections there are and how long each may last.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from router.process.admin.refusals import Refusal
from router.process.admin_server import LEAVE_S, Handling

log = logging.getLogger("turnout")

_MOST_HEAD_BYTES = 32768
_MOST_WAITING = 16  # pipelined requests; a client that has sent more is not read


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its field names in lower case, each with every value that was sent."""

    method: str
    path: str
    fields: Mapping[str, list[str]]
    sockname: object
    keeps_alive: bool
    awaits_body: bool = False
    waiter: str | None = None

    def values(self, name: str) -> list[str]:
        return self.fields.get(name, [])


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: status, type and body."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def page_of(refusal: Refusal) -> Page:
    body = json.dumps(refusal.body).encode()
    return Page(body, refusal.status, "application/json; charset=utf-8", refusal.headers)


Answering = Callable[[Asked], Awaitable[Page]]


class Pages:
    """A site in which one function answers each request."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._handling: Handling | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self, handling: Handling) -> None:
        self._handling = handling

    def connection(self) -> asyncio.Protocol:
        return _Conversation(self)

    async def stop(self) -> None:
        if self._busy:
            await asyncio.wait(self._busy, timeout=LEAVE_S)
        for task in self._busy:
            task.cancel()

    def spawn(self, conversation: _Conversation) -> asyncio.Task[None]:
        """Start a task that answers the requests a connection has received."""
        task = asyncio.get_running_loop().create_task(conversation.answer_all())
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return task

    async def page(self, inner: object, asked: Asked) -> Page:
        assert self._handling is not None
        with self._handling(inner, asked):
            if asked.method not in ("GET", "HEAD"):
                return Page(b"405: only GET and HEAD here\n", 405, headers={"Allow": "GET, HEAD"})
            try:
                return await self._answer(asked)
            except Exception:
                log.exception("event=page_failed path=%r", asked.path)
                return Page(b"500: see the log\n", 500)


class _Conversation(asyncio.Protocol):
    """One client's connection: its requests are answered in the order they came."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._transport: asyncio.Transport | None = None
        self._parser: HttpRequestParser | None = None
        self._received: deque[Asked | Page] = deque()
        self._task: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._has_ended = False  # nothing more is read from the client
        self._target = b""
        self._fields: dict[str, list[str]] = {}
        self._unfinished = 0  # bytes received since the last whole request

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # breaks the reference cycle, so that no collection is needed
        self._transport = self._parser = None
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._has_ended:
            return
        self._unfinished += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # the request already read gets its answer, and nothing after it is read
            self._has_ended = True
        except HttpParserError:
            self._refuse(400, b"400: that is not HTTP/1.1\n")
        if self._unfinished > _MOST_HEAD_BYTES:
            self._refuse(431, b"431: the head is too large\n")
        if self._transport is not None and len(self._received) > _MOST_WAITING:
            self._transport.pause_reading()
        if self._received and self._task is None:
            self._task = self._pages.spawn(self)

    def _refuse(self, status: int, body: bytes) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._received.append(Page(body, status))

    # --- what llhttp tells

    def on_message_begin(self) -> None:
        self._target, self._fields = b"", {}

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._fields.setdefault(key, []).append(value.decode("latin-1"))

    def on_body(self, body: bytes) -> None:
        self._refuse(413, b"413: no body is read here\n")

    def on_message_complete(self) -> None:
        self._unfinished = 0
        if self._has_ended or self._parser is None or self._transport is None:
            return
        asked = Asked(
            self._parser.get_method().decode("latin-1"),
            self._target.partition(b"?")[0].decode("latin-1"),
            self._fields,
            self._transport.get_extra_info("sockname"),
            self._parser.should_keep_alive(),
        )
        self._received.append(asked)
        self._has_ended = not asked.keeps_alive

    # --- answers

    async def answer_all(self) -> None:
        """Answer the requests received so far, until none is left or the connection ends."""
        while self._received and self._transport is not None:
            one = self._received.popleft()
            page = one if isinstance(one, Page) else await self._pages.page(self, one)
            is_last = self._has_ended and not self._received
            is_head = isinstance(one, Asked) and one.method == "HEAD"
            self._write(page, is_head=is_head, is_last=is_last)
            await self._may_write.wait()
            if is_last:
                self._transport.close()
            elif len(self._received) <= _MOST_WAITING:
                self._transport.resume_reading()
        self._task = None

    def _write(self, page: Page, *, is_head: bool, is_last: bool) -> None:
        if self._transport is None:
            return
        fields = {
            "Content-Type": page.content_type,
            "Content-Length": str(len(page.body)),
            **({"Connection": "close"} if is_last else {}),
            **page.headers,
        }
        line = f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        head = line + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        self._transport.write(head.encode("latin-1") + (b"" if is_head else page.body))

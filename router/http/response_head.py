"""A response's head: parsed once, and rewritten for the client.

Pure. Framing follows RFC 9112 §6.3: the request decides whether there can be a body at all.
"""

from __future__ import annotations

import re
from typing import Final

from router.contract.memo import Memo
from router.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    HOP,
    HOPS,
    KNOWN,
    OURS,
    PLAIN,
    REQUEST_ID,
    TRANSFER_ENCODING,
    UPGRADE,
    connection_options,
    is_number,
    joined,
    kind_of,
    without,
)

Fields = list[tuple[bytes, bytes]]

# How a response's body ends.
NO_BODY: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
# Every kind of field except what describes the connection and what only the edge may state.
_PASSING: Final = frozenset(range(32)) - {
    CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, HOP, HOPS, OURS, REQUEST_ID
}  # fmt: skip
StatusLine = tuple[int, bool, bytes]  # the status, whether it is HTTP/1.1, and the line to send on
_status_lines: Final[Memo[StatusLine]] = Memo(most=256, longest=64)  # at most 100 KB
_KNOWN_STATUS_LINES: Final = _status_lines.known


def read_status_line(line: bytes) -> StatusLine | None:
    """A parsed status line; None when it is not valid."""
    try:
        return _KNOWN_STATUS_LINES[line]
    except KeyError:
        pass
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return None
    sent = b"HTTP/1.1 %b %b\r\n" % (match[2], match[3] or b"")
    return _status_lines.keep(line, (int(match[2]), match[1] == b"1", sent))


class ResponseHead:
    """A response as the edge understood it; `start` is what is sent on of its head."""

    __slots__ = (
        "framing",
        "has_date",
        "keeps_alive",
        "length",
        "start",
        "status",
        "upgrade",
    )

    def __init__(self, status: int) -> None:
        self.status = status
        self.start = b""  # a busy replica repeats it: it is put together once
        self.framing = NO_BODY
        self.length: int | None = None  # the declared Content-Length, which HEAD and 304 keep
        self.keeps_alive = True
        self.has_date = False
        self.upgrade = b""

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} framing={self.framing} length={self.length}>"


class ResponseReading:
    """Collects what llhttp reports of one head, then interprets it as a whole."""

    __slots__ = (
        "_connection", "_framings", "_head", "_is_bad", "_is_chunked", "_is_http11", "_lines",
    )  # fmt: skip

    def __init__(self, status_line: StatusLine) -> None:
        status, self._is_http11, line = status_line
        self._head = ResponseHead(status)
        self._lines = [line]  # and each field in four pieces
        self._connection = b""
        self._framings = 0
        self._is_chunked = False
        self._is_bad = False

    def on_header(self, name: bytes, value: bytes) -> None:
        kind = KNOWN.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == DATE:
            self._head.has_date = True
        if kind == PLAIN or kind in _PASSING:
            lines = self._lines
            lines.append(name)
            lines.append(b": ")
            lines.append(value)
            lines.append(b"\r\n")
        elif kind == CONTENT_LENGTH:
            value = value.strip(b" \t")
            self._framings += 1
            if is_number(value):
                self._head.length = int(value)
            else:
                self._is_bad = True
        elif kind == TRANSFER_ENCODING:
            self._framings += 1
            self._is_chunked = value.strip(b" \t").lower() == b"chunked"
            self._is_bad = self._is_bad or not self._is_chunked
        elif kind == CONNECTION:
            self._connection = joined(self._connection, value) if self._connection else value
        elif kind == UPGRADE:
            self._head.upgrade = value

    def read(self, *, is_head: bool) -> ResponseHead | None:
        """Interpret the head; None when it may not be passed on, which gives the client a 502."""
        head, is_http11 = self._head, self._is_http11
        if self._is_bad or self._framings > 1 or (self._is_chunked and not is_http11):
            return None
        head.keeps_alive = is_http11
        if self._connection and not self._take_connection():
            return None
        head.framing = _framing(head, is_chunked=self._is_chunked, is_head=is_head)
        if head.length is not None and head.framing < CHUNKED:
            self._lines.append(b"Content-Length: %d\r\n" % head.length)
        head.start = b"".join(self._lines)
        return head

    def _take_connection(self) -> bool:
        """Act on the Connection fields; returns False when they have too many options."""
        options = connection_options(self._connection)
        if options is None:
            return False
        self._head.keeps_alive = not options.closes if self._is_http11 else options.keeps_alive
        if options.removes:
            line, *lines = self._lines
            self._lines = [line, *without(options.removes, lines)]
        return True


def _framing(head: ResponseHead, *, is_chunked: bool, is_head: bool) -> int:
    if is_head or head.status in (204, 304) or head.status < 200:
        if head.status == 204 or head.status < 200:
            head.length = None  # RFC 9110 §8.6: Content-Length is not allowed here
        return NO_BODY
    if is_chunked:
        return CHUNKED
    if head.length is not None:
        return LENGTH if head.length else NO_BODY
    return UNTIL_CLOSE


def compose(
    head: ResponseHead,
    *,
    is_http11: bool,
    keeps_alive: bool,
    request_id: bytes,
    date: bytes,
    extra: bytes,
) -> list[bytes]:
    """The head that goes to the client, as pieces; a body follows in the framing it announces."""
    out = [head.start, b"X-Request-Id: ", request_id, b"\r\n"]
    if not head.has_date:
        out.append(date)  # RFC 9110 §6.6.1
    if extra:
        out.append(extra)
    if head.framing >= CHUNKED and is_http11:
        out.append(b"Transfer-Encoding: chunked\r\n")
    if not keeps_alive:
        out.append(b"Connection: close\r\n\r\n")
    else:
        out.append(b"\r\n" if is_http11 else b"Connection: keep-alive\r\n\r\n")
    return out

"""The head of a response: one reading of it, and the head that goes to the client.

Pure. Framing as RFC 9112 §6.3: what the request was decides whether a body follows at all.
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
    joined,
    kind_of,
)

Fields = list[tuple[bytes, bytes]]

# How a response's body ends.
NO_BODY: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
# Anything but what describes the connection, and what only the edge may say.
_PASSING: Final = frozenset(range(32)) - {
    CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, HOP, HOPS, OURS, REQUEST_ID
}  # fmt: skip
StatusLine = tuple[int, bool, bytes]  # the status, whether HTTP/1.1, and the line to send on
_status_lines: Final[Memo[StatusLine]] = Memo(most=256, longest=64)  # at most 100 KB
_KNOWN_STATUS_LINES: Final = _status_lines.known


def read_status_line(line: bytes) -> StatusLine | None:
    """A status line, read; None when it is not one."""
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
    """A response as the edge understood it; `lines` are the fields that are sent on."""

    __slots__ = (
        "framing",
        "has_date",
        "keeps_alive",
        "length",
        "lines",
        "status",
        "status_line",
        "upgrade",
    )

    def __init__(self, status: int, status_line: bytes) -> None:
        self.status = status
        self.status_line = status_line
        self.lines: list[bytes] = []
        self.framing = NO_BODY
        self.length: int | None = None  # as declared; kept for HEAD and 304
        self.keeps_alive = True
        self.has_date = False
        self.upgrade = b""

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} framing={self.framing} length={self.length}>"


def read_response(status_line: StatusLine, fields: Fields, *, is_head: bool) -> ResponseHead | None:
    """The one reading of a response head, or None: it may not be passed on (502)."""
    status, is_http11, line = status_line
    head = ResponseHead(status, line)
    lines = head.lines
    connection = b""
    framings = 0
    is_chunked = False
    known = KNOWN
    for name, value in fields:
        kind = known.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == PLAIN:
            lines += (name, b": ", value, b"\r\n")
        elif kind == CONTENT_LENGTH:
            value = value.strip(b" \t")
            framings += 1
            if not _DIGITS.fullmatch(value):
                return None
            head.length = int(value)
        elif kind == TRANSFER_ENCODING:
            framings += 1
            is_chunked = value.strip(b" \t").lower() == b"chunked"
            if not is_chunked:
                return None
        elif kind == CONNECTION:
            connection = joined(connection, value) if connection else value
        elif kind == UPGRADE:
            head.upgrade = value
        elif kind in _PASSING:
            if kind == DATE:
                head.has_date = True
            lines += (name, b": ", value, b"\r\n")
    if framings > 1 or (is_chunked and not is_http11):
        return None
    head.keeps_alive = is_http11
    if connection and not _take_connection(head, connection, fields, is_http11):
        return None
    head.framing = _framing(head, is_chunked=is_chunked, is_head=is_head)
    return head


def _take_connection(
    head: ResponseHead, connection: bytes, fields: Fields, is_http11: bool
) -> bool:
    """Act on the Connection fields; returns False when they have too many options."""
    options = connection_options(connection)
    if options is None:
        return False
    head.keeps_alive = not options.closes if is_http11 else options.keeps_alive
    if options.removes:
        head.lines[:] = _without(options.removes, fields)
    return True


def _without(names: frozenset[bytes], fields: Fields) -> list[bytes]:
    kept = [f for f in fields if f[0].lower() not in names and kind_of(f[0]) in _PASSING]
    return [part for n, v in kept for part in (n, b": ", v, b"\r\n")]


def _framing(head: ResponseHead, *, is_chunked: bool, is_head: bool) -> int:
    if is_head or head.status in (204, 304) or head.status < 200:
        if head.status == 204 or head.status < 200:
            head.length = None  # RFC 9110 §8.6: no Content-Length here
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
    out = [head.status_line, *head.lines]
    if not head.has_date:
        out.append(date)  # RFC 9110 §6.6.1
    out += (b"X-Request-Id: ", request_id, b"\r\n", extra)
    if head.framing >= CHUNKED:
        if is_http11:
            out.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length is not None:
        out.append(b"Content-Length: %d\r\n" % head.length)
    if not keeps_alive:
        out.append(b"Connection: close\r\n\r\n")
    else:
        out.append(b"\r\n" if is_http11 else b"Connection: keep-alive\r\n\r\n")
    return out

"""The fields a client repeats on its connection, read once.

Pure. Most clients send the same fields with every request and change only the request line
(HTTP/2 has HPACK for it). What was read from some bytes is what would be read from the same
bytes again, so only the line is read anew, by a grammar narrower than llhttp's. Heads with a body,
an upgrade, an expectation or an id of the client's own always take the long way.
"""

from __future__ import annotations

import re
from typing import Final

from router.http.request_head import IDEMPOTENT, RequestHead

# Methods without rules of their own for targets and hops, and RFC 3986's characters of a path and
# a query: every line that matches means the same to llhttp.
_LINE: Final = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9/._~%!$&'()*+,;=:@?-]*) HTTP/1\.1"
)

_VERSION: Final = b" HTTP/1.1"


class Repeated:
    """One head's fields, and the head that is sent on for them but its line and id.

    The line is remembered too: a client that polls sends the same one again.
    """

    __slots__ = (
        "_after_id", "_before_id", "_line", "_max_target", "_method", "_target", "block", "head",
    )  # fmt: skip

    def __init__(self, block: bytes, head: RequestHead, max_target: int) -> None:
        before, _, self._after_id = head.wire.partition(head.request_id)
        self._line = _VERSION  # none yet
        self._before_id = before[len(head.method) + 1 + len(head.target) :]
        self._method = self._target = b""
        self._max_target = max_target
        self.block = block
        self.head = head

    def read(self, line: bytes, new_id: bytes) -> RequestHead | None:
        """The head with another request line; None when it must be read the long way."""
        if line != self._line and not self._take(line):
            return None
        known = self.head
        head = RequestHead()
        head.block = self.block
        head.method = self._method
        head.target = self._target
        head.host_key = known.host_key
        head.is_http11 = True
        head.is_idempotent = self._method in IDEMPOTENT
        head.keeps_alive = known.keeps_alive
        head.length = 0
        head.has_body = False
        head.is_chunked = False
        head.expects_continue = False
        head.upgrade = b""
        head.request_id = new_id
        head.wire = self._before_id + new_id + self._after_id
        return head

    def _take(self, line: bytes) -> bool:
        """Whether a line is one whose meaning is plain; if so, it is the one from now on."""
        match = _LINE.fullmatch(line)
        if match is None:
            return False
        method, target = match.groups()
        if len(target) > self._max_target:
            return False
        end, before = len(line) - len(_VERSION), len(self._line) - len(_VERSION)
        self._before_id = line[:end] + self._before_id[before:]
        self._line, self._method, self._target = line, method, target
        return True


def is_repeatable(head: RequestHead, target: bytes, new_id: bytes) -> bool:
    """Whether a head's fields mean the same with any other line of a plain request."""
    return (
        head.is_http11
        and not head.has_body
        and not head.upgrade
        and head.request_id is new_id
        and head.target is target
        and target[:1] == b"/"
        and head.method != b"OPTIONS"
        and head.method != b"TRACE"
    )

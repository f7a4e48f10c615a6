"""The field `traceparent` (W3C Trace Context, level 1): read from a head, and replaced in it. Pure.

The head is searched as bytes, which only those pay for who have traces: to the reading of heads,
the field is one of many that pass.
"""

from __future__ import annotations

import re
from typing import Final

_FIELD: Final = b"\r\ntraceparent:"
# A version that we do not know begins as ours does, and may go on behind another hyphen.
_VALUE: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_CONTEXT: Final = re.compile(rb"\r\n(?:traceparent|tracestate):[^\r\n]*", re.IGNORECASE)


class Parent:
    """What a sender says of the trace that its request is part of."""

    __slots__ = ("end", "flags", "is_sampled", "span_id", "start", "trace_id")

    def __init__(self, start: int, end: int, trace_id: bytes, span_id: bytes, flags: bytes) -> None:
        self.start = start  # where the value stands
        self.end = end
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.is_sampled = bool(int(flags, 16) & 1)


def parent_in(head: bytes) -> Parent | None:
    """The parent that a head, or the fields of one, names; None without a valid one, or with two.

    A request that comes with several is as one that comes with none.
    """
    lowered = head.lower()
    at = lowered.find(_FIELD)
    if at < 0:
        return None
    start = at + len(_FIELD)
    end = head.find(b"\r\n", start)
    if lowered.find(_FIELD, end) >= 0:
        return None
    match = _VALUE.fullmatch(head[start:end].strip(b" \t"))
    if match is None or (match[1] == b"00" and match[5]):
        return None
    return Parent(start, end, match[2], match[3], match[4])


def trace_of(block: bytes) -> str:
    """The trace id in fields as received, or nothing."""
    parent = parent_in(block)
    return parent.trace_id.decode() if parent is not None else ""


def continued(head: bytes, parent: Parent, span_id: bytes) -> bytes:
    """The head with another span as the parent of what comes of it."""
    value = b" 00-%b-%b-%b" % (parent.trace_id, span_id, parent.flags)
    return head[: parent.start] + value + head[parent.end :]


def begun(head: bytes, trace_id: bytes, span_id: bytes) -> bytes:
    """The head as the first of a sampled trace; what it said of others was not valid."""
    rest = _CONTEXT.sub(b"", head)
    return b"%btraceparent: 00-%b-%b-01\r\n\r\n" % (rest[:-2], trace_id, span_id)

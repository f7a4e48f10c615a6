"""Heads as llhttp tells of them, field by field."""

from __future__ import annotations

from collections.abc import Iterable

from router.contract.outcomes import Outcome
from router.http.request_head import Ingress, RequestHead, RequestReading
from router.http.response_head import ResponseHead, ResponseReading, StatusLine


def read_request(
    method: bytes,
    target: bytes,
    version: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    ingress: Ingress,
    new_id: bytes,
) -> RequestHead | Outcome:
    """A request's head, or its refusal."""
    reading = RequestReading()
    reading.on_url(target)
    for name, value in fields:
        reading.on_header(name, value)
    return reading.read(method, version, ingress, new_id)


def read_response(
    status_line: StatusLine, fields: Iterable[tuple[bytes, bytes]], *, is_head: bool
) -> ResponseHead | None:
    """A response's head, or None when it may not be passed on."""
    reading = ResponseReading(status_line)
    for name, value in fields:
        reading.on_header(name, value)
    return reading.read(is_head=is_head)

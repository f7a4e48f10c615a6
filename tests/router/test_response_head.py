from __future__ import annotations

import pytest

from router.http.response_head import (
    CHUNKED,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    ResponseHead,
    read_status_line,
)
from tests.support.heads import read_response


def read(
    *fields: tuple[bytes, bytes], line: bytes = b"HTTP/1.1 200 OK", is_head: bool = False
) -> ResponseHead | None:
    status_line = read_status_line(line)
    assert status_line is not None
    return read_response(status_line, list(fields), is_head=is_head)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 600 X",
        b"HTTP/1.1  200 OK",
        b"200 OK",
        b"HTTP/1.1 200 \x01",
        b"HTTP/1.1 200OK",
        b"",
    ],
)
def test_bad_status_lines_are_refused(line: bytes) -> None:
    assert read_status_line(line) is None


@pytest.mark.parametrize(
    ("fields", "line", "is_head", "framing"),
    [
        ([(b"Content-Length", b"5")], b"HTTP/1.1 200 OK", False, LENGTH),
        ([(b"Content-Length", b"0")], b"HTTP/1.1 200 OK", False, NO_BODY),
        ([(b"Content-Length", b"5")], b"HTTP/1.1 200 OK", True, NO_BODY),
        ([(b"Content-Length", b"5")], b"HTTP/1.1 304 Not Modified", False, NO_BODY),
        ([(b"Content-Length", b"5")], b"HTTP/1.1 204 No Content", False, NO_BODY),
        ([(b"Transfer-Encoding", b"chunked")], b"HTTP/1.1 200 OK", False, CHUNKED),
        ([], b"HTTP/1.1 200 OK", False, UNTIL_CLOSE),
        ([], b"HTTP/1.0 200 OK", False, UNTIL_CLOSE),
    ],
)
def test_a_body_is_framed_as_the_rfc_says(
    fields: list[tuple[bytes, bytes]], line: bytes, is_head: bool, framing: int
) -> None:
    head = read(*fields, line=line, is_head=is_head)

    assert head is not None
    assert head.framing == framing


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"x")],
        [(b"Content-Length", b"5"), (b"Content-Length", b"6")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    ],
)
def test_ambiguous_framing_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    assert read(*fields) is None


def test_fields_of_the_connection_and_of_the_edge_are_not_passed_on() -> None:
    head = read(
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"5"),
        (b"X-Turnout-Error", b"HostNotFound"),
        (b"X-Turnout-Hops", b"3"),
        (b"Server", b"it"),
        (b"Via", b"1.1 it"),
        (b"Content-Length", b"1"),
    )

    assert head is not None
    assert head.start == b"HTTP/1.1 200 OK\r\nServer: it\r\nVia: 1.1 it\r\nContent-Length: 1\r\n"
    assert not head.keeps_alive


def test_a_content_length_that_204_may_not_have_is_dropped() -> None:
    head = read((b"Content-Length", b"5"), line=b"HTTP/1.1 204 No Content")

    assert head is not None
    assert head.length is None

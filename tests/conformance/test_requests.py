"""RFC 9110 and 9112 as a proxy has to read them: what the client gets and what the replica saw.

Raw bytes in, raw bytes out. A refused request never reaches the replica; one that passes has
exactly one reading, and `seen` is all of it but the fields that the edge adds.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.edges import in_front_of
from tests.support.origin import OK, Connection, Origin

HOST = b"Host: shop.localhost"
ADDED = re.compile(rb"(?:X-Forwarded-[A-Za-z]+|X-Request-Id|Via): [^\r\n]*\r\n")


def wire(*fields: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


def line(text: bytes) -> bytes:
    return wire(HOST, line=text)


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return wire(HOST, *fields, line=b"POST / HTTP/" + version, body=body)


def get(*fields: bytes) -> bytes:
    return wire(HOST, *fields)


CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

# name: (status, what the client sends); the replica sees nothing and the connection ends
REFUSED = {
    # RFC 9112 §3: request line
    "space before the line": (400, b" " + get()),
    "bare LF before the line": (400, b"\n" + get()),
    "two spaces after the method": (400, line(b"GET  / HTTP/1.1")),
    "two spaces before the version": (400, line(b"GET /  HTTP/1.1")),
    "tab after the method": (400, line(b"GET\t/ HTTP/1.1")),
    "space behind the version": (400, line(b"GET / HTTP/1.1 ")),
    "lower-case protocol": (400, line(b"GET / http/1.1")),
    "version without a minor": (400, line(b"GET / HTTP/1.")),
    "version without a dot": (400, line(b"GET / HTTP/11")),
    "version with two digits": (400, line(b"GET / HTTP/1.10")),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/0.9 spelled out": (505, line(b"GET / HTTP/0.9")),
    "HTTP/2.0": (505, line(b"GET / HTTP/2.0")),
    "the HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS on a plain port": (400, bytes.fromhex("1603010200010001fc0303") + b"\n\r\n"),
    "method that is no token": (400, line(b"G(T / HTTP/1.1")),
    "method with a bad character": (400, line(b"GE{T / HTTP/1.1")),
    "unknown method with a bad field": (400, wire(HOST, b"A : b", line=b"BREW / HTTP/1.1")),
    # RFC 9112 §3.2: target
    "CONNECT": (405, line(b"CONNECT shop.localhost:80 HTTP/1.1")),
    "target without a slash": (400, line(b"GET a HTTP/1.1")),
    "authority-form": (400, line(b"GET shop.localhost:80 HTTP/1.1")),
    "asterisk-form for GET": (400, line(b"GET * HTTP/1.1")),
    "fragment": (400, line(b"GET /#a HTTP/1.1")),
    "NUL in the target": (400, line(b"GET /\0 HTTP/1.1")),
    "control in the target": (400, line(b"GET /\x01 HTTP/1.1")),
    "non-ASCII in the target": (400, line(b"GET /\xe9 HTTP/1.1")),
    "target of 9000 bytes": (414, line(b"GET /" + b"a" * 9000 + b" HTTP/1.1")),
    "absolute-form of another scheme": (400, line(b"GET ftp://shop.localhost/ HTTP/1.1")),
    "absolute-form with user information": (400, line(b"GET http://a@shop.localhost/ HTTP/1.1")),
    "absolute-form with a bad port": (400, line(b"GET http://shop.localhost:x/ HTTP/1.1")),
    "absolute-form without a host": (400, line(b"GET http:///x HTTP/1.1")),
    # RFC 9112 §3.2, RFC 9110 §7.2: Host
    "no Host": (400, wire(b"A: b")),
    "no Host in HTTP/1.0": (400, wire(b"A: b", line=b"GET / HTTP/1.0")),
    "two Hosts": (400, wire(HOST, HOST)),
    "two different Hosts": (400, wire(HOST, b"Host: other.localhost")),
    "empty Host": (400, wire(b"Host:")),
    "Host list": (400, wire(b"Host: a, b")),
    "Host with a space": (400, wire(b"Host: a b")),
    "Host with user information": (400, wire(b"Host: a@shop.localhost")),
    "Host with a path": (400, wire(b"Host: shop.localhost/x")),
    "Host with a port that is none": (400, wire(b"Host: shop.localhost:x")),
    "Host with a port beyond 65535": (400, wire(b"Host: shop.localhost:65536")),
    # RFC 9112 §2.2, §5: fields
    "bare LF line ends": (400, get().replace(b"\r\n", b"\n")),
    "one bare LF": (400, get().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n")),
    "bare CR line ends": (400, get().replace(b"\r\n", b"\r")),
    "obs-fold": (400, get(b"A: b", b" c")),
    "obs-fold by tab": (400, get(b"A: b", b"\tc")),
    "space before the first field": (400, wire(b" A: b", HOST)),
    "space before the colon": (400, get(b"A : b")),
    "tab before the colon": (400, get(b"A\t: b")),
    "no colon": (400, get(b"A")),
    "empty name": (400, get(b": b")),
    "bracket in a name": (400, get(b"A(: b")),
    "non-ASCII in a name": (400, get(b"A\xe9: b")),
    "NUL in a value": (400, get(b"A: b\0c")),
    "bare CR in a value": (400, get(b"A: b\rc")),
    "control in a value": (400, get(b"A: b\x01c")),
    "DEL in a value": (400, get(b"A: b\x7fc")),
    "150 fields": (431, get(*[b"A: b"] * 150)),
    "a head of 40 kB": (431, get(b"A: " + b"b" * 40000)),
    # RFC 9110 §8.6, RFC 9112 §6.2: Content-Length
    "signed length": (400, post(b"Content-Length: +3", body=b"abc")),
    "negative length": (400, post(b"Content-Length: -3", body=b"abc")),
    "hexadecimal length": (400, post(b"Content-Length: 0x3", body=b"abc")),
    "empty length": (400, post(b"Content-Length:", body=b"abc")),
    "length with a space": (400, post(b"Content-Length: 3 3", body=b"abc")),
    "length list": (400, post(b"Content-Length: 3, 3", body=b"abc")),
    "length twice, equal": (400, post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    "length twice, different": (400, post(b"Content-Length: 3", b"Content-Length: 4", body=b"abc")),
    "length beyond 64 bits": (400, post(b"Content-Length: 18446744073709551619", body=b"abc")),
    # RFC 9112 §6.1, §6.3: Transfer-Encoding
    "length and coding": (400, post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKS)),
    "coding and length": (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CHUNKS)),
    "coding in HTTP/1.0": (400, post(b"Transfer-Encoding: chunked", body=CHUNKS, version=b"1.0")),
    "coding twice": (400, post(*[b"Transfer-Encoding: chunked"] * 2, body=CHUNKS)),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS)),
    "chunked not last": (400, post(b"Transfer-Encoding: chunked, gzip", body=CHUNKS)),
    "identity": (400, post(b"Transfer-Encoding: identity")),
    "unknown coding": (400, post(b"Transfer-Encoding: xchunked", body=CHUNKS)),
    "coding behind a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS)),
    "coding in quotes": (400, post(b'Transfer-Encoding: "chunked"', body=CHUNKS)),
    "coding with a parameter": (400, post(b"Transfer-Encoding: chunked;q=1", body=CHUNKS)),
    "empty list item": (400, post(b"Transfer-Encoding: ,chunked", body=CHUNKS)),
    "space before the colon of a coding": (400, post(b"Transfer-Encoding : chunked", body=CHUNKS)),
    "gzip before chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS)),
    # RFC 9110 §10.1.1, §7.6.2
    "unknown expectation": (417, post(b"Expect: magic", b"Content-Length: 0")),
    "Max-Forwards that is no number": (400, wire(HOST, b"Max-Forwards: x", line=b"OPTIONS / HTTP/1.1")),
    "TRACE that may go no further": (405, wire(HOST, b"Max-Forwards: 0", line=b"TRACE / HTTP/1.1")),
}  # fmt: skip

# name: (what the client sends, what the replica sees)
PASSED = {
    "the plainest request": (get(), get()),
    "an empty line before": (b"\r\n" + get(), get()),
    "two empty lines before": (b"\r\n\r\n" + get(), get()),
    "a newer minor version": (line(b"GET / HTTP/1.2"), get()),
    "HTTP/1.0": (line(b"GET / HTTP/1.0"), get()),
    "a registered method": (line(b"PURGE / HTTP/1.1"), line(b"PURGE / HTTP/1.1")),
    "a query and escapes": (line(b"GET /a%20b?c=%zz HTTP/1.1"), line(b"GET /a%20b?c=%zz HTTP/1.1")),
    "dot segments": (line(b"GET /a/../b HTTP/1.1"), line(b"GET /a/../b HTTP/1.1")),
    "asterisk-form for OPTIONS": (line(b"OPTIONS * HTTP/1.1"), line(b"OPTIONS * HTTP/1.1")),
    "absolute-form": (line(b"GET http://shop.localhost/x HTTP/1.1"), line(b"GET /x HTTP/1.1")),
    "absolute-form without a path": (line(b"GET http://shop.localhost HTTP/1.1"), get()),
    "absolute-form for OPTIONS without a path": (
        line(b"OPTIONS http://shop.localhost HTTP/1.1"), line(b"OPTIONS * HTTP/1.1")),
    "absolute-form beats Host": (
        wire(b"Host: evil", line=b"GET http://shop.localhost/x HTTP/1.1"), line(b"GET /x HTTP/1.1")),
    "Host in upper case with a port and a dot": (
        wire(b"Host: SHOP.localhost.:8080"), wire(b"Host: SHOP.localhost.:8080")),
    "Host between tabs": (wire(b"Host:\tshop.localhost\t"), get()),
    "an empty value": (get(b"A:"), get(b"A: ")),
    "a tab in a value": (get(b"A: b\tc"), get(b"A: b\tc")),
    "obs-text in a value": (get(b"A: b\xe9c"), get(b"A: b\xe9c")),
    "a field twice": (get(b"A: b", b"a: c"), get(b"A: b", b"a: c")),
    "leading zeros in a length": (
        post(b"Content-Length: 003", body=b"abc"), post(b"Content-Length: 3", body=b"abc")),
    "spaces around a length": (
        post(b"Content-Length:  3 ", body=b"abc"), post(b"Content-Length: 3", body=b"abc")),
    "a length of zero": (post(b"Content-Length: 0"), post(b"Content-Length: 0")),
    "POST without a length": (post(), post()),
    "GET with a body": (
        wire(HOST, b"Content-Length: 3", body=b"abc"), wire(HOST, b"Content-Length: 3", body=b"abc")),
    "DELETE with a body": (
        wire(HOST, b"Content-Length: 3", line=b"DELETE / HTTP/1.1", body=b"abc"),
        wire(HOST, b"Content-Length: 3", line=b"DELETE / HTTP/1.1", body=b"abc")),
    "chunked in capitals": (
        post(b"Transfer-Encoding: CHUNKED", body=CHUNKS),
        post(b"Transfer-Encoding: chunked", body=CHUNKS)),
    "chunk extensions end here": (
        post(b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0;c\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", body=CHUNKS)),
    "trailers: allowed ones pass, others do not": (
        post(b"Transfer-Encoding: chunked", body=b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", body=b"0\r\nX-Sum: 1\r\n\r\n")),
    "an underscore twin of a length is no length": (post(b"Content_Length: 3"), post()),
    "Connection names a field": (get(b"Connection: X-Hop", b"X-Hop: 1", b"B: c"), get(b"B: c")),
    "Connection names Host": (get(b"Connection: host"), get()),
    "Connection names the length": (
        post(b"Connection: content-length", b"Content-Length: 3", body=b"abc"),
        post(b"Content-Length: 3", body=b"abc")),
    "Connection names the coding": (
        post(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=CHUNKS),
        post(b"Transfer-Encoding: chunked", body=CHUNKS)),
    "Connection names a credential": (
        get(b"Connection: authorization", b"Authorization: x"), get(b"Authorization: x")),
    "hop-by-hop fields": (
        get(b"Keep-Alive: 5", b"Proxy-Connection: x", b"TE: trailers", b"B: c"), get(b"B: c")),
    "h2c": (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: A"), get()),
    "an upgrade with a body is no upgrade": (
        post(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 3", body=b"abc"),
        post(b"Content-Length: 3", body=b"abc")),
    "an expectation in HTTP/1.0 is ignored": (
        post(b"Expect: magic", b"Content-Length: 3", body=b"abc", version=b"1.0"),
        post(b"Content-Length: 3", body=b"abc")),
    # RFC 9110 §9.1: methods are open, and case-sensitive
    "unknown method": (line(b"BREW / HTTP/1.1"), line(b"BREW / HTTP/1.1")),
    "lower-case method": (line(b"get / HTTP/1.1"), line(b"get / HTTP/1.1")),
    "unknown method with a body": (
        wire(HOST, b"Content-Length: 3", line=b"BREW / HTTP/1.1", body=b"abc"),
        wire(HOST, b"Content-Length: 3", line=b"BREW / HTTP/1.1", body=b"abc")),
    "Max-Forwards counts down": (
        wire(HOST, b"Max-Forwards: 5", line=b"OPTIONS / HTTP/1.1"),
        wire(HOST, b"Max-Forwards: 4", line=b"OPTIONS / HTTP/1.1")),
    "spoofed forwarded fields": (
        get(b"X-Forwarded-For: 6.6.6.6", b"Forwarded: for=6.6.6.6", b"X_Forwarded_For: 6.6.6.6"), get()),
    "spoofed fields of ours": (get(b"X-Turnout-Revision: x", b"X_Turnout_Error: x"), get()),
    "httpoxy": (get(b"Proxy: http://evil"), get()),
}  # fmt: skip


async def seen_by_replica(c: Connection, seen: list[bytes]) -> None:
    while True:
        head = await c.head()
        body = b""
        if length := re.search(rb"(?i)\ncontent-length: (\d+)", head):
            body = await c.reader.readexactly(int(length[1]))
        elif b"\nTransfer-Encoding: chunked" in head:
            body = await c.reader.readuntil(b"\r\n\r\n")
        seen.append(head + body)
        await c.send(OK)


async def exchange(sent: bytes) -> tuple[bytes, list[bytes]]:
    seen: list[bytes] = []
    async with (
        Origin(lambda c: seen_by_replica(c, seen)) as origin,
        in_front_of(origin, linger_s=0.05, tick_s=0.01, half_close_s=1.0) as edge,
    ):
        client = await edge.client()
        await client.send(sent)
        async with asyncio.timeout(5):
            return await client.reader.readuntil(b"\r\n\r\n"), seen


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str) -> None:
    status, sent = REFUSED[name]

    answer, seen = await exchange(sent)

    assert int(answer[9:12]) == status
    assert seen == []
    if status != 417 and status != 405:
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("name", PASSED)
async def test_passed(name: str) -> None:
    sent, expected = PASSED[name]

    answer, seen = await exchange(sent)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [ADDED.sub(b"", request) for request in seen] == [expected]

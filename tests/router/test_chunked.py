from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.http.chunked import ChunkedDecoder, FramingError, chunk, last_chunk


def decode(data: bytes, cut: int = 1 << 20) -> tuple[bytes, ChunkedDecoder]:
    body, decoder, _ = decode_and_rest(data, cut)
    return body, decoder


def decode_and_rest(data: bytes, cut: int = 1 << 20) -> tuple[bytes, ChunkedDecoder, bytes]:
    decoder, body, rest = ChunkedDecoder(), b"", b""
    for begin in range(0, len(data), cut):
        piece, at = data[begin : begin + cut], 0
        while at < len(piece) and not decoder.done:
            body += b"".join(decoder.feed(piece, at, most=2))
            at = decoder.at
        rest += piece[at:]
    return body, decoder, rest


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.integers(1, 40))
def test_what_is_encoded_decodes_the_same_however_it_is_cut(pieces: list[bytes], cut: int) -> None:
    wire = b"".join(chunk([p]) for p in pieces) + last_chunk([(b"X-Sum", b"1")])

    body, decoder = decode(wire, cut)

    assert body == b"".join(pieces)
    assert decoder.done
    assert decoder.trailers == [(b"X-Sum", b"1")]


def test_what_lies_behind_the_body_is_handed_back() -> None:
    _, _, rest = decode_and_rest(b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n")

    assert rest == b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b'3 ; a = "x y"\r\nabc\r\n0;x\r\n\r\n',
        b"03\r\nabc\r\n00\r\n\r\n",
    ],
)
def test_extensions_and_leading_zeros_are_read(wire: bytes) -> None:
    body, decoder = decode(wire)

    assert body == b"abc"
    assert decoder.done


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"-1\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3\nabc\n0\n\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabc\r0\r\n\r\n",
        b"g\r\n",
        b"fffffffffffffffff\r\n",
        b"3;\x00\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3" + b";a" * 400 + b"\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    ],
)
def test_malformed_bodies_are_refused(wire: bytes) -> None:
    with pytest.raises(FramingError):
        decode(wire)


def test_forbidden_trailers_are_dropped() -> None:
    _, decoder = decode(b"0\r\nContent-Length: 5\r\nAuthorization: x\r\nHost: a\r\nX-Ok: 1\r\n\r\n")

    assert decoder.trailers == [(b"X-Ok", b"1")]


@given(st.binary(max_size=60) | st.text("0123af;\r\n x=", max_size=60).map(str.encode))
def test_what_we_accept_llhttp_reads_the_same(wire: bytes) -> None:
    try:
        body, _, rest = decode_and_rest(wire)
    except FramingError:
        return

    class Told:
        body = b""

        def on_body(self, data: bytes) -> None:
            self.body += data

    told = Told()
    parser = httptools.HttpRequestParser(told)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    upto = wire[: len(wire) - len(rest)]
    try:
        parser.feed_data(upto)
    except httptools.HttpParserError:
        return  # llhttp is stricter about whitespace in extensions; no second reading there
    assert told.body == body

"""A head that arrives in pieces means what it means in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.contract.outcomes import Outcome
from router.contract.settings import RouterSettings
from router.ingress.partial import PartialHead

SETTINGS = RouterSettings(routes="-", max_head_bytes=400, max_target_bytes=100)
HEAD = b"GET /x HTTP/1.1\r\nHost: shop.localhost\r\nA: b\r\n\r\n"


def feed(wire: bytes, cuts: list[int]) -> tuple[bytes, bytes, Outcome | None]:
    """The whole head, what lies behind it, and the refusal, of bytes that arrive in pieces."""
    partial, at = PartialHead(), 0
    for cut in [*sorted(set(cuts)), len(wire)]:
        piece = wire[at:cut]
        if not piece:
            continue
        end = partial.take(piece, 0)
        if partial.whole:
            return partial.whole, wire[at + end :], None
        refusal = partial.judge(SETTINGS)
        if refusal is not None:
            return b"", b"", refusal
        at = cut
    return b"", b"", None


@given(st.lists(st.integers(1, 80)), st.integers(0, 3), st.binary(max_size=20))
def test_it_is_whole_at_its_end_however_it_is_cut(cuts: list[int], empty: int, rest: bytes) -> None:
    whole, behind, refusal = feed(b"\r\n" * empty + HEAD + rest, cuts)
    assert refusal is None
    assert whole == HEAD
    assert behind == rest


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET /x HTTP/1.1\nHost", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\nB: c", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\rB: c", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\0", 400),
        (b"GET  /x HTTP/1.1\r\nHost: a", 400),
        (b"GET /" + b"x" * 300, 414),
        (b"GET / HTTP/1.1\r\nHost: " + b"x" * 400, 431),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_is_bad_is_refused_before_it_is_complete(wire: bytes, status: int, step: int) -> None:
    *_, refusal = feed(wire, list(range(step, len(wire), step)))
    assert refusal is not None
    assert refusal.status == status

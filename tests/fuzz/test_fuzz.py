"""The corpus, and mutations of it: seconds here, minutes with `python -m tests.fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SEEDS = {name: sorted((CORPUS / name).iterdir()) for name in TARGETS}
# Bytes that framing is made of: mutations that matter are made of them, too.
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"0", b"0x", b"+", b"-",
    b"\0", b"\x0b", b"\xff", b"Content-Length: 3\r\n", b"Content-Length: 4\r\n", b"chunked",
    b"identity", b"Transfer-Encoding: chunked\r\n", b"Host: shop.localhost\r\n", b"HTTP/1.0",
    b"Connection: close\r\n", b"HTTP/1.1", b"GET / HTTP/1.1\r\n", b"0\r\n\r\n",
    b"3\r\nabc\r\n", b"Expect: x\r\n",
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "seed"), [(name, seed) for name, seeds in SEEDS.items() for seed in seeds],
    ids=lambda x: x if isinstance(x, str) else x.name,
)  # fmt: skip
def test_corpus(target: str, seed: Path) -> None:
    TARGETS[target](seed.read_bytes())


# Made once: making strategies while drawing took more time than the parsers under test.
FIRST = {name: st.sampled_from(seeds) for name, seeds in SEEDS.items()}
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1 << 16), st.integers(0, 3), st.sampled_from(TOKENS) | st.binary(max_size=3)
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutations(target: str, data: st.DataObject) -> None:
    message = data.draw(FIRST[target]).read_bytes()
    for place, cut, token in data.draw(CHANGES):
        at = place % (len(message) + 1)
        message = message[:at] + token + message[at + cut :]
    TARGETS[target](message)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.contract.hosts import fold, parse_name


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"shop.localhost", b"shop.localhost"),
        (b"SHOP.Localhost:8080", b"shop.localhost"),
        (b"shop.localhost.", b"shop.localhost"),
        (b"shop.localhost.:80", b"shop.localhost"),
        (b"shop.localhost:", b"shop.localhost"),
        (b"127.0.0.1:65535", b"127.0.0.1"),
        (b"[::1]:80", b"[::1]"),
        (b"[::1]", b"[::1]"),
    ],
)
def test_hosts_fold_to_one_key(raw: bytes, key: bytes) -> None:
    assert fold(raw) == key


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" shop",
        b"shop .localhost",
        b"user@shop.localhost",
        b"shop/path",
        b"shop.localhost:80:80",
        b"shop.localhost:65536",
        b"shop.localhost:8o",
        b"shop..localhost",
        b".shop",
        b"shop,other",
        b"sh\xc3\xb6p",
        b"shop\x00",
        b"[::1",
        b"::1",
        b"a" * 300,
    ],
)
def test_what_is_no_host_is_refused(raw: bytes) -> None:
    assert fold(raw) is None


@given(st.binary(max_size=80))
def test_folding_is_total_and_idempotent(raw: bytes) -> None:
    key = fold(raw)

    assert key is None or fold(key) == key


@pytest.mark.parametrize(
    ("label", "parsed"),
    [
        ("shop", ("app", "shop", "")),
        ("shop--v1", ("revision", "shop", "v1")),
        ("shop---staging", ("label", "shop", "staging")),
        ("my-shop--v-1", ("revision", "my-shop", "v-1")),
        ("my-shop---a-b", ("label", "my-shop", "a-b")),
        ("shop--0000001", ("revision", "shop", "0000001")),
    ],
)
def test_a_first_label_parses_one_way(label: str, parsed: tuple[str, str, str]) -> None:
    assert parse_name(label) == parsed

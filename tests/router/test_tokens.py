"""Tokens: those of a file, and the one that a first start makes."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from router.process import tokens
from router.process.config import BadSettings
from router.process.tokens import Tokens, make, to_send


def test_the_first_start_makes_a_token_that_only_its_owner_can_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = make(tmp_path / "s")
    finally:
        os.umask(before)
    value = path.read_text().strip()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(value) >= 32
    assert make(tmp_path / "s").read_text().strip() == value
    assert [entry.name for entry in (tmp_path / "s").iterdir()] == ["token"]


def test_servers_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    starts = Barrier(16)

    def start(_: int) -> str:
        starts.wait()
        return make(tmp_path / "s").read_text()

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(start, range(16)))) == 1
    assert [entry.name for entry in (tmp_path / "s").iterdir()] == ["token"]


def test_a_token_that_others_could_read_is_closed_to_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make(tmp_path)
    path.chmod(0o644)

    make(tmp_path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "token_was_readable" in caplog.text


def test_without_a_place_for_a_token_nobody_gets_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known = Tokens("", tmp_path / "file" / "state")

    assert known.find("Bearer ") is None
    assert known.find("Bearer x") is None


@pytest.fixture
def known(tmp_path: Path) -> Tokens:
    (tmp_path / "tokens").write_text("ci write w-secret\nedge router t-secret\n")
    return Tokens(str(tmp_path / "tokens"), tmp_path)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer w-secret", "ci"),
        ("bearer w-secret", "ci"),
        ("BEARER  t-secret ", "edge"),
        ("w-secret", None),
        ("Basic w-secret", None),
        ("Bearer", None),
        ("", None),
        ("Bearer w-secret x", None),
        ("Bearer w-secr\u00e9t", None),
        ("Bearer \udcff\udcfe", None),  # bytes that are not UTF-8, as aiohttp hands them on
        ("Be\udcffrer w-secret", None),
    ],
)
def test_a_header_is_somebodys_or_nobodys(known: Tokens, header: str, name: str | None) -> None:
    found = known.find(header)
    assert (found.name if found is not None else None) == name


def test_a_role_that_does_not_exist_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# who\nci admin x\n")
    with pytest.raises(BadSettings, match=r"tokens:2: .*read, write, router"):
        tokens.read(str(tmp_path / "tokens"))


def test_the_state_directorys_token_never_leaves_this_host(tmp_path: Path) -> None:
    value = make(tmp_path).read_text().strip()
    for server in ("http://127.0.0.1:8081", "http://[::1]:1", "http://localhost:1", "unix:x"):
        assert to_send(server, "", tmp_path) == value
    for server in ("http://10.0.0.9:8081", "https://localhost.example.com", "http://[::1", "x"):
        assert to_send(server, "", tmp_path) == ""


def test_a_router_sends_the_token_that_is_meant_for_it(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("dash read r\nci write w\nedge router t\n")
    assert to_send("http://elsewhere", str(file), tmp_path, ("router", "write")) == "t"
    assert to_send("http://elsewhere", str(file), tmp_path) == "w"


def test_a_file_that_went_bad_leaves_the_tokens_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ci write secret\n")
    known = Tokens(str(file), tmp_path)
    assert known.trouble() == ""

    file.write_text("ci writes another\n")
    assert f"the tokens that were known stay in force: {file}:1: write" in known.trouble()
    assert known.holder("secret") is not None

    file.write_text("ci write a-third-one\n")
    assert known.trouble() == ""
    assert known.holder("secret") is None

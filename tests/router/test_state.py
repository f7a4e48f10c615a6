from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.process.state import make_private, tighten, write_durably


@pytest.fixture(autouse=True)
def _generous() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_directories_that_are_made_are_their_owners_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    make_private(tmp_path / "a" / "b")

    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)


def test_a_written_file_is_its_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    file = tmp_path / "router" / "table.json"
    write_durably(file, b"old")
    file.chmod(0o644)
    file.with_name("table.json.new").write_bytes(b"left by a crash")
    write_durably(file, b"new")

    assert file.read_bytes() == b"new"
    assert mode(file) == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["table.json"]


@pytest.mark.parametrize(
    ("before", "inside", "after"),
    [
        (0o755, [], 0o700),
        (0o777, ["control.db", "control.db-wal", "router", "up.lock"], 0o700),
        (0o755, ["control.db", "notes.txt"], 0o755),  # shared with somebody's own files
        (0o750, ["control.db"], 0o750),  # a group was let in on purpose
        (0o2775, ["control.db"], 0o775),
        (0o1777, [], 0o777),
        (0o500, ["router"], 0o500),
    ],
)
def test_a_directory_of_ours_that_all_may_read_is_closed_and_no_other(
    tmp_path: Path, before: int, inside: list[str], after: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in inside:
        (state / name).touch()
    state.chmod(before)
    tighten(state)

    assert mode(state) == after


def test_what_a_link_points_to_is_left_alone(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o755)
    (tmp_path / "state").symlink_to(real)
    tighten(tmp_path / "state")
    tighten(tmp_path / "nowhere")

    assert mode(real) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    os.chown(state, 12345, 12345)
    tighten(state)

    assert mode(state) == 0o755

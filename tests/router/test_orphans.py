"""Workers of a supervisor that was killed, as the next one sees them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.supervisor.orphans import Orphans


@contextmanager
def a_worker(folder: Path) -> Iterator[None]:
    """What its supervisor left it: the descriptor of a locked file."""
    mark = os.open(folder / "workers-before.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(mark, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(mark)


def test_they_are_there_until_the_last_has_ended(tmp_path: Path) -> None:
    orphans = Orphans(tmp_path, most_s=3600)
    with a_worker(tmp_path):
        marks = orphans.begin()
        assert orphans.are_there()
    assert not orphans.are_there()
    assert len(list(tmp_path.iterdir())) == len(marks) == 1  # ours only
    os.close(marks[0])


def test_one_that_never_ends_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As long as there are orphans, no replica that left a table may be ended, of whatever app."""
    orphans = Orphans(tmp_path, most_s=0)
    with a_worker(tmp_path):
        (mark,) = orphans.begin()
        assert not orphans.are_there()
        assert "orphans_given_up" in caplog.text
    os.close(mark)

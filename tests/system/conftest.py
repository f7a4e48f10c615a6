"""Real processes: each test has its own state directory and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.turnout import marked, until

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a system test."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory; afterwards no process that was started for it may be left."""
    monkeypatch.setenv("TEST_MARK", str(tmp_path))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path}")  # a mark that replicas inherit
    yield tmp_path
    try:
        until(lambda: not marked(tmp_path), timeout_s=15)
    finally:
        for pid in marked(tmp_path):
            os.kill(pid, signal.SIGKILL)

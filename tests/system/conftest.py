"""Real processes: each test has its own state directory and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.turnout import Turnout, marked, none_left, until, without_apps

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a system test."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory; afterwards no process that was started for it may be left."""
    yield from _marking(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same for a server that many tests ask and none of them changes."""
    with pytest.MonkeyPatch.context() as given:
        yield from _marking(tmp_path_factory.mktemp("shared"), given)


@pytest.fixture(scope="module")
def shared_up(shared_state: Path) -> Iterator[Turnout]:
    """Both halves, without an engine."""
    no_engine = f"unix://{shared_state}/no-engine.sock"
    settings = {"state": shared_state / "s", "restart_backoff_s": 0.1, "docker_host": no_engine}
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", **settings) as up:
        yield up


@pytest.fixture
def up(shared_up: Turnout) -> Iterator[Turnout]:
    """They have no app yet."""
    yield shared_up
    without_apps(shared_up)


@pytest.fixture
def cli(up: Turnout) -> Cli:
    """The command against it."""
    return Cli(up.server)


def _marking(folder: Path, given: pytest.MonkeyPatch) -> Iterator[Path]:
    given.setenv("TEST_MARK", str(folder))
    given.setenv("PATH", f"{os.environ['PATH']}:{folder}")  # a mark that replicas inherit
    with none_left():
        yield folder
        try:
            until(lambda: not marked(folder), timeout_s=15)
        finally:
            for pid in marked(folder):
                os.kill(pid, signal.SIGKILL)

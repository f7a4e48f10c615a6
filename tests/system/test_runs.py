"""What a killed test run left is ended by the next run, and nobody else's processes are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import runs
from tests.support.turnout import Turnout, is_alive, none_left, until

# A run with two processes: one that inherits its mark, and one below it that does not.
RUN = """
import subprocess, sys, time
from tests.support import runs
runs.begin()
started = ["sh", "-c", "env -i /bin/sleep 600 & echo $! $$ > $0; wait", sys.argv[1]]
subprocess.Popen(started, start_new_session=True)
time.sleep(600)
"""


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Filled by a test; they are gone when it is over."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def a_run(folder: Path, started: list[int]) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A run, and the processes that it has started."""
    folder.mkdir()
    run = subprocess.Popen([sys.executable, "-c", RUN, str(folder / "pids")])
    below = until(lambda: (folder / "pids").exists() and (folder / "pids").read_text()).split()
    started += [run.pid, *map(int, below)]
    return run, [int(pid) for pid in below]


def test_a_server_that_a_test_has_not_ended_is_ended_and_its_pipe_closed(state: Path) -> None:
    with none_left():
        server = Turnout("control", admin="127.0.0.1:0", state=state)
    assert server.process.returncode == -signal.SIGKILL
    assert server.process.stderr is not None
    assert server.process.stderr.closed


def test_only_what_a_killed_run_left_is_ended(tmp_path: Path, started: list[int]) -> None:
    dead, left = a_run(tmp_path / "dead", started)
    alive, used = a_run(tmp_path / "alive", started)
    stranger = subprocess.Popen(["/bin/sleep", "600"], env={"PATH": "/usr/bin:/bin"})
    started.append(stranger.pid)
    assert not set(runs.end_dead_runs()) & {*left, *used, stranger.pid}

    dead.kill()
    dead.wait()
    assert set(runs.end_dead_runs()) >= set(left)

    until(lambda: not any(is_alive(pid) for pid in left))
    assert all(is_alive(pid) for pid in (*used, alive.pid, stranger.pid))
    for process in (alive, stranger):
        process.kill()
        process.wait()

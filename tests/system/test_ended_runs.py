"""A test run that is interrupted or killed leaves nothing behind, and another one can begin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.turnout import is_alive, until

ROOT = Path(__file__).parents[2]
TEST = """
import os, subprocess, time
import pytest
from tests.support.turnout import TURNOUT

@pytest.mark.parametrize("name", ["one", "other"])
def test_for_ever(name, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)])
    flags = ["--admin", "127.0.0.1:0", "--state", str(tmp_path / "s")]
    with (tmp_path / "said").open("wb") as said:
        command = [*TURNOUT, "control", *flags]
        control = subprocess.Popen(command, stderr=said, start_new_session=True)
    while b"ready" not in (tmp_path / "said").read_bytes():
        time.sleep(0.05)
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{control.pid} ")
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("sig", "is_all"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)]
)
def test_nothing_is_left_of_a_run(sig: signal.Signals, is_all: bool, tmp_path: Path) -> None:
    """A terminal tells everybody that Ctrl-C was typed; a kill is of the first process only."""
    pids = tmp_path / "pids"
    pids.touch()
    (tmp_path / "test_it.py").write_text(TEST)
    flags = ["-c", str(ROOT / "pyproject.toml"), f"--basetemp={tmp_path}/t", "-n", "2"]
    with (tmp_path / "said").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "tests.conftest", *flags, str(tmp_path)],
            cwd=ROOT, stdout=said, stderr=said, start_new_session=True,
            env=os.environ | {"PIDS": str(pids)},
        )  # fmt: skip
    servers = until(lambda: len(found := pids.read_text().split()) == 2 and [*map(int, found)])
    assert all(map(is_alive, servers))
    (os.killpg if is_all else os.kill)(run.pid, sig)
    assert run.wait(60) != 0
    until(lambda: not any(map(is_alive, servers)))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()

"""These tests beside an engine at the usual socket, which a live turnout and others use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.conftest import load_image
from tests.docker.engines import Engine
from tests.docker.test_runtime import body
from tests.support.turnout import Turnout, is_alive, provisioned, until

ROOT = Path(__file__).parents[2]
CASES = ["tests/docker/test_runtime.py::test_published_ports_instead_of_addresses",
         "tests/docker/test_discovery.py::test_containers_come_and_go"]  # fmt: skip
FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}


@pytest.fixture
def usual(tmp_path: Path) -> Iterator[Engine]:
    """The engine of somebody else, with things on it that look like those of tests."""
    with Engine(tmp_path) as usual, usual.entered():
        load_image(usual.docker)
        yield usual


def everything(engine: Engine) -> list[str]:
    """What there is on an engine, and whether it runs."""
    shown = engine.docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}")
    kinds = [engine.docker(kind, "ls", "-q").split() for kind in ("volume", "network", "image")]
    return sorted(map(str, [*shown.splitlines(), *kinds]))


def pytest_run(*args: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]


def test_strangers_containers_and_a_live_turnout_are_left_alone(usual: Engine, state: Path) -> None:
    volume = ("--label", "turnout.replica=x", "mine")
    usual.docker("volume", "create", *volume)
    usual.docker("network", "create", "turnout")
    for label in ("turnout.enable=true", "turnout.replica=shop--v1-x", "other=1"):
        usual.docker("run", "-d", "--label", label, "turnout-test:1", "/bin/sleep", "3600")
    with Turnout("up", state=state / "s", docker_host=usual.host, **FLAGS) as up:
        up.must("PUT", "/v1/apps/web", body("v1", "turnout-test:1"))
        provisioned(up, "web--v1")
        until(lambda: "web--v1" in up.get("web.localhost")[2])
        before = everything(usual)
        assert len(before) == 4 + 3

        done = subprocess.run(
            usual.inside(*pytest_run(*CASES)), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout, done.stdout

        assert everything(usual) == before
        assert "web--v1" in up.get("web.localhost")[2]
        up.must("DELETE", "/v1/apps/web")
        until(lambda: len(usual.docker("ps", "-aq").split()) == 3)


def test_the_engine_and_containers_of_a_killed_run_end_with_it() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "t"
        engine = ("docker", "--host", f"unix://{place}/engine0/d.sock")

        def containers() -> list[str]:
            found = subprocess.run([*engine, "ps", "-q"], capture_output=True, check=False)
            return found.stdout.decode().split()

        run = subprocess.Popen(pytest_run(CASES[0], f"--basetemp={place}"), cwd=ROOT,
                               stdout=subprocess.DEVNULL)  # fmt: skip
        (container,) = until(containers)
        shown = subprocess.check_output([*engine, "inspect", container])
        pids = [json.loads(shown)[0]["State"]["Pid"], int((place / "engine0/pid").read_text())]
        assert all(map(is_alive, pids))
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        until(lambda: not any(map(is_alive, pids)))

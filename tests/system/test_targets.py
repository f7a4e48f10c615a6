"""The recipes for load generators, against the demo that is made for them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.turnout import Turnout, environment

TARGETS = Path(__file__).parents[2] / "benchmarks" / "targets"


FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}


@pytest.fixture(scope="module")
def demo(shared_state: Path) -> Iterator[Turnout]:
    """One for all that only ask."""
    with Turnout("demo", "--target", state=shared_state / "s", **FLAGS) as demo:
        yield demo


def recipe(name: str, demo: Turnout, folder: Path) -> str:
    """What a recipe prints, run for two seconds."""
    script = folder / "turnout"
    python = shlex.quote(sys.executable)
    script.write_text(f'#!/bin/sh\nexec {python} -c "from control.cli.main import app; app()" "$@"')
    script.chmod(0o755)
    env = environment(server=demo.server) | {
        "TARGET": f"127.0.0.1:{demo.port}",
        "DURATION": "20" if name == "canary.sh" else "2",
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path.cwd()),
    }
    done = subprocess.run(
        ["sh", str(TARGETS / name)], env=env, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("tool", "says", "never"),
    [
        ("wrk", "Requests/sec", "Non-2xx"),
        ("hey", "[200]", "Error distribution"),
        ("h2load", "0 failed, 0 errored", "5xx, 1"),
    ],
)
def test_a_load_generator_finds_its_target(
    demo: Turnout, tmp_path: Path, tool: str, says: str, never: str
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    printed = recipe(f"{tool}.sh", demo, tmp_path)
    assert says in printed
    assert never not in printed


def test_a_canary_that_goes_bad_is_noticed_and_rolled_back(state: Path, tmp_path: Path) -> None:
    if shutil.which("hey") is None:
        pytest.skip("hey is not installed")
    with Turnout("demo", "--target", state=state / "s", **FLAGS) as demo:
        printed = recipe("canary.sh", demo, tmp_path)
        assert "album-api--v2 fails" in printed
        assert "rolled back" in printed
        rules = demo.must("GET", "/v1/apps/album-api/traffic")["traffic"]
        assert {r["revisionName"]: r["weight"] for r in rules}["album-api--v1"] == 100


@pytest.mark.parametrize(
    ("query", "status", "length"),
    [("status=503", 503, None), ("size=1MiB", 200, 1 << 20), ("size=100KiB&chunked=1", 200, None),
     ("delay=soon", 400, None), ("size=9999MiB", 400, None), ("status=99", 400, None)],
)  # fmt: skip
async def test_the_app_does_as_the_query_wishes(
    demo: Turnout, query: str, status: int, length: int | None
) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{demo.port}") as session:
        headers = {"Host": "album-api.localhost"}
        async with session.get(f"/?{query}", headers=headers) as response:
            body = await response.read()
            assert response.status == status
            assert response.content_length in (length, None) or length is None
            if "size=100KiB" in query:
                assert (len(body), response.headers["Transfer-Encoding"]) == (100 << 10, "chunked")
        async with session.ws_connect("/?ws=1", headers=headers) as socket:
            await socket.send_str("ho")
            assert await socket.receive_str() == "ho ho"

"""The README's tour, command by command, as a reader would type it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, environment

README = Path(__file__).parents[2] / "README.md"


def tour(name: str) -> list[tuple[str, str]]:
    """`(command, text it should show)` of every block marked as part of a tour."""
    blocks = re.findall(rf"```sh {name}\n(.*?)```", README.read_text(), re.DOTALL)
    steps = []
    for line in "".join(blocks).splitlines():
        command, _, note = line.partition("  # shows: ")
        steps.append((command.strip(), note.strip()))
    return steps


def walk(steps: list[tuple[str, str]], up: Turnout, folder: Path) -> None:
    """Type each command as a reader would, on the ports of this test."""
    here = folder / "bin"
    here.mkdir()
    script = here / "turnout"
    python = shlex.quote(sys.executable)
    script.write_text(
        f'#!/bin/sh\nexec {python} -c "from control.cli.main import app; app()" "$@"\n'
    )
    script.chmod(0o755)
    env = environment(server=up.server, state=up.settings["state"])
    env.pop("TURNOUT_TOKEN")  # it is found in the state directory
    env["PATH"] = f"{here}:{env['PATH']}"
    for command, shows in steps:
        typed = command.replace(":8080", f":{up.port}").replace("127.0.0.1:8081", up.facts["admin"])
        done = subprocess.run(
            ["sh", "-c", typed], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert shows in done.stdout, (command, done.stdout)


def test_the_tour_works(state: Path, tmp_path: Path) -> None:
    steps = tour("tour")
    assert steps[0][0] == "turnout up --runtimes docker,endpoint,process &"
    assert len(steps) > 12
    if not any((Path(p) / "curl").exists() for p in os.environ["PATH"].split(":")):
        pytest.skip("curl is not installed (Debian package curl)")
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s") as up:
        walk(steps[1:], up, tmp_path)

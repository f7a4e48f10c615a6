"""The README's tour, command by command, as a reader would type it."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, environment

README = Path(__file__).parents[2] / "README.md"


def tour(name: str) -> list[tuple[str, str]]:
    """`(command, text it should show)` of every block marked as part of a tour."""
    blocks = re.findall(rf"```sh {name}\n(.*?)```", README.read_text(), re.DOTALL)
    return commands_in("".join(blocks))


def commands_in(text: str) -> list[tuple[str, str]]:
    """`(command, text it should show)` of every line."""
    steps = []
    for line in text.splitlines():
        command, _, note = line.partition("  # shows: ")
        steps.append((command.strip(), note.strip()))
    return steps


def a_clone(folder: Path) -> Path:
    """A folder with the command where `make run` puts it."""
    here = folder / ".venv" / "bin"
    here.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    command = here / "turnout"
    command.write_text(
        f'#!/bin/sh\nexec {python} -c "from control.cli.main import app; app()" "$@"\n'
    )
    command.chmod(0o755)
    return folder


def walk(steps: list[tuple[str, str]], up: Turnout, folder: Path, cwd: Path | None = None) -> None:
    """Type each command as a reader would, on the ports of this test."""
    here = a_clone(folder) / ".venv" / "bin"
    env = environment(server=up.server, state=up.settings["state"])
    env.pop("TURNOUT_TOKEN", None)  # it is found in the state directory
    env["PATH"] = f"{here}:{env['PATH']}"
    for command, shows in steps:
        typed = command.replace(":8080", f":{up.port}").replace("127.0.0.1:8081", up.facts["admin"])
        done = subprocess.run(
            ["sh", "-c", typed],
            env=env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        assert shows in done.stdout, (command, done.stdout)


def test_the_tour_works(state: Path, tmp_path: Path) -> None:
    """In one shell, as it is: nothing is waited for but what it waits for itself."""
    steps = tour("tour")
    assert len(steps) > 14
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian package curl)")
    ingress, admin = free_address(), free_address()
    script = "".join(f"{command}\n" for command, _ in steps)
    script = script.replace(":8080", f":{ingress.rpartition(':')[2]}").replace(
        "127.0.0.1:8081", admin
    )
    env = environment(server=admin, admin=admin, listen=ingress, state=state / "s")
    env |= {"PWD": str(a_clone(tmp_path)), "COLUMNS": "200"}
    done = subprocess.run(
        ["sh", "-e", "-c", f"{script}kill $!; wait"],
        env=env,
        cwd=env["PWD"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "album-api deleted" in done.stdout, done.stderr + done.stdout
    rest = done.stdout
    for command, shows in steps:  # in the order in which they were typed
        if not shows:
            continue
        assert shows in rest, (command, done.stdout)
        rest = rest.partition(shows)[2]


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"

"""Help of every command: an example that can be typed, and where server and token come from."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer
from click.testing import CliRunner

from control.cli.examples import EXAMPLES
from control.cli.main import app

ROOT: Any = typer.main.get_command(app)


def commands(command: Any = ROOT, path: str = "") -> list[tuple[str, Any]]:
    """Every verb with its path."""
    found = getattr(command, "commands", None)
    if found is None:
        return [(path.strip(), command)]
    return [one for name, sub in found.items() for one in commands(sub, f"{path} {name}")]


COMMANDS = dict(commands())


def test_every_command_has_one_example() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_can_be_typed(name: str) -> None:
    shown = CliRunner().invoke(ROOT, [*name.split(), "-h"], terminal_width=300, env=WIDE)
    assert shown.exit_code == 0
    example = EXAMPLES[name]
    assert example in " ".join(shown.output.split())
    words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
    assert words[0] == "turnout"
    assert words[1 : 1 + len(name.split())] == name.split()
    COMMANDS[name].make_context(name, words[1 + len(name.split()) :])  # every word is understood


WIDE = {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}


def test_help_says_where_the_server_and_its_token_are_named() -> None:
    shown = CliRunner().invoke(ROOT, ["--help"], env=WIDE).output
    assert all(name in shown for name in ("TURNOUT_SERVER", "TURNOUT_TOKEN", "TURNOUT_STATE"))
    shown = CliRunner().invoke(ROOT, ["app", "list", "--help"], env=WIDE).output
    assert all(name in shown for name in ("--server", "--token", "TURNOUT_TOKEN", "HOST:PORT"))

"""What the command line prints: every text as it is, never as markup, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from click.testing import CliRunner
from rich.status import Status

from control.cli import output, waiting
from control.cli.client import console, errors, fail
from control.cli.main import app
from control.cli.output import Format

COMMAND = typer.main.get_command(app)
NASTY = ["[/]", "[bold]x", "[red]x[/red]", "[/shop]", "\\[x]", ":warning:", "[link=file:///x]y"]


@pytest.mark.parametrize("text", NASTY)
def test_an_error_says_names_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail(f"there is no app {text}")
    assert f"there is no app {text}" in capsys.readouterr().err


@pytest.mark.parametrize("text", NASTY)
def test_a_table_shows_values_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.show([{"name": text, "labels": [text, text]}], output.REVISIONS, Format.TABLE)
    assert f"{text}, {text}" in capsys.readouterr().out


def test_a_table_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([{"name": "a\x1b[2Jb\rc\x9b"}], output.REVISIONS, Format.TABLE)
    shown = capsys.readouterr().out
    assert not {"\x1b", "\r", "\x9b"} & set(shown)
    assert "a\ufffd[2Jb" in shown


@pytest.mark.parametrize("text", NASTY)
def test_lines_and_progress_take_any_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print(f"{text} deleted")
    errors.print(f"{text} failed")
    with Status(waiting.line(text, "starting"), console=errors) as status:
        status.update(waiting.line(text, f"Failed {text}"))
    said = capsys.readouterr()
    assert f"{text} deleted" in said.out
    assert f"{text} failed" in said.err


@pytest.mark.parametrize(
    "args",
    [
        ["app", "show", "[/]"],
        ["app", "show", "\udcff"],
        ["deploy", "shop", "--image", "\udcff"],
        ["revision", "show", "shop", "--revision", "[/red]"],
        ["fault", "set", "shop", "v1", "--delay", "[/]"],
        ["traffic", "set", "shop", "--revision-weight", "[/]"],
        ["secret", "set", "shop", "--secrets", "[/]"],
        ["plan", "-f", "/nowhere/[/].yaml"],
        ["check", "/nowhere/[/].toml"],
        ["[/]"],
    ],
)
def test_no_argument_ends_in_a_traceback(args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNOUT_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("TURNOUT_NOTE", "because \udcff \x07 of\nthis")
    result = CliRunner().invoke(COMMAND, args)
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit)
    assert result.output.strip()


@pytest.mark.parametrize("server", ["http://[/]:1", "[/]", "http://[::1", "http://x:99999", ""])
def test_no_server_ends_in_a_traceback(server: str) -> None:
    result = CliRunner().invoke(
        COMMAND, ["app", "list", "--server", server or "http://127.0.0.1:1"]
    )
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "no control plane answers" in result.output


DEEP, BOMB = (
    "[" * 990 + "]" * 990,
    "\n".join(
        [
            "a0: &a0 [x, x]",
            *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
        ]
    ),
)


@pytest.mark.parametrize(
    "content",
    [b"a: " + DEEP[800:-800].encode(), BOMB.encode(), b"a: &a [*a]", b"\xff", b"a: 2024-99-99",
     b"{", b"", b"name: '[/]'\nproperties: {template: {containers: '[/]'}}",
     b"name: x\nproperties: []"],
)  # fmt: skip
def test_no_file_ends_in_a_traceback(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_bytes(content)
    args = ["plan", "-f", str(tmp_path / "app.yaml"), "--server", "http://127.0.0.1:1"]
    result = CliRunner().invoke(COMMAND, args)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert "error:" in result.output


@pytest.mark.parametrize(
    "content", [b"x = " + DEEP.encode(), b"[[app]]\nx = " + DEEP.encode(), b"\xff"]
)
def test_check_refuses_any_file_with_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_bytes(content)
    result = CliRunner().invoke(COMMAND, ["check", str(tmp_path / "routes.toml")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)

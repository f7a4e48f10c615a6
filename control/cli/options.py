"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from control.cli.client import fail

App = Annotated[str, typer.Argument(help="The app's name.", metavar="APP")]
RevisionName = Annotated[str, typer.Option("--revision", help="The revision's full name.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until ready.")]
State = Annotated[Path | None, typer.Option("--state", help="Directory that survives a restart.")]
EnvVars = Annotated[
    list[str] | None,
    typer.Option(
        "--env-vars",
        "--env",
        help="NAME=VALUE, or NAME=secretref:SECRET; repeat for each.",
    ),
]

_SECRET = "secretref:"  # noqa: S105 - az's way to write it


def merged(old: list[dict[str, str]], given: list[str] | None) -> list[dict[str, str]]:
    """A container's variables with those that were given set."""
    found = {variable["name"]: variable for variable in old}
    for text in given or []:
        name, value = pair(text)
        if value.startswith(_SECRET):
            found[name] = {"name": name, "secretRef": value.removeprefix(_SECRET)}
        else:
            found[name] = {"name": name, "value": value}
    return list(found.values())


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE in two; leaves with exit code 2 when it is none."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        fail(f"{text!r} is not NAME=VALUE", 2)
    return name, value


def pairs(texts: list[str]) -> list[dict[str, Any]]:
    """Secrets as the API takes them."""
    return [{"name": name, "value": value} for name, value in map(pair, texts)]

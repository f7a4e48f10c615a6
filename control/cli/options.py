"""Arguments and options that several commands have."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from control.cli.client import fail

App = Annotated[str, typer.Argument(help="The app's name.", metavar="APP")]
RevisionName = Annotated[
    str, typer.Option("--revision", help="The revision: its suffix, or its full name APP--SUFFIX.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until ready.")]
State = Annotated[Path | None, typer.Option("--state", help="Directory that survives a restart.")]
EnvVars = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        "--env-vars",
        "--set-env-vars",
        help="NAME=VALUE, or NAME=secretref:SECRET; repeat for each. az's --set-env-vars, too.",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token", help="Default TURNOUT_TOKEN, then the token in the state directory on this host."
    ),
]

_SECRET = "secretref:"  # noqa: S105 - az's way to write it


def merged(old: list[dict[str, str]], given: list[str] | None) -> list[dict[str, str]]:
    """A container's variables, with the given ones added or replaced."""
    found = {variable["name"]: variable for variable in old}
    for text in given or []:
        name, value = pair(text)
        if value.startswith(_SECRET):
            found[name] = {"name": name, "secretRef": value.removeprefix(_SECRET)}
        else:
            found[name] = {"name": name, "value": value}
    return list(found.values())


def without(old: list[dict[str, str]], names: list[str] | None) -> list[dict[str, str]]:
    """A container's variables without the named ones; exits with code 2 if one is unknown."""
    known = [variable["name"] for variable in old]
    for name in names or []:
        if name not in known:
            fail(
                f"there is no variable {name} to remove; there are: {', '.join(known) or 'none'}", 2
            )
    return [variable for variable in old if variable["name"] not in (names or [])]


def is_external(kind: str) -> bool | None:
    """The API's value for `external` or `internal`; exits with code 2 for anything else."""
    if kind.lower() not in ("", "external", "internal"):
        fail(f"{kind!r} is neither external nor internal; write one of them", 2)
    return kind.lower() == "external" if kind else None


def full_name(app: str, revision: str) -> str:
    """A revision's full name, given the full name or only the suffix."""
    return revision if not revision or "--" in revision else f"{app}--{revision}"


def pair(text: str) -> tuple[str, str]:
    """The name and value of NAME=VALUE; exits with code 2 if the text has no such form."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        fail(f"{text!r} is not NAME=VALUE, such as COLOR=blue", 2)
    return name, value


def pairs(texts: list[str]) -> list[dict[str, Any]]:
    """Secrets in the API's form."""
    return [{"name": name, "value": value} for name, value in map(pair, texts)]


def take_token(app: typer.Typer) -> None:
    """Give every command that has --server a --token, too."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            take_token(group.typer_instance)
    for info in app.registered_commands:
        if info.callback is not None and "server" in inspect.signature(info.callback).parameters:
            info.callback = _with_token(info.callback)


def _with_token(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def run(*args: Any, token: str, **kwargs: Any) -> Any:
        if token:
            os.environ["TURNOUT_TOKEN"] = token  # a flag counts before the variable
        return command(*args, **kwargs)

    added = inspect.Parameter("token", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Token)
    signature = inspect.signature(command, eval_str=True)
    parameters = [*signature.parameters.values(), added]
    # typer reads the signature and the annotations
    vars(run)["__signature__"] = signature.replace(parameters=parameters)
    run.__annotations__ = {**inspect.get_annotations(command, eval_str=True), "token": Token}
    return run

"""`turnout plan -f FILE` and `turnout apply -f FILE`: an app as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from control.cli.client import Api, console, fail
from control.cli.commands.deploy import revision_of
from control.cli.output import REVISIONS, Format, Output, Server, show
from control.cli.waiting import READY_S, wait_ready

_CHANGES = 2  # exit code of a plan that would change something

File = Annotated[
    Path, typer.Option("--file", "-f", help="YAML of `az containerapp create --yaml`.")
]
Name = Annotated[str, typer.Argument(help="The app; default: the file's name.")]


def plan(file: File, app: Name = "", output: Output = Format.TABLE, server: Server = "") -> None:
    """Say what a file would change; exit 0 for nothing, 2 for something, 1 for an error."""
    api = Api(server)
    name, body = _read(file, app, api)
    answer = api.call("PUT", ("apps", f"{name}?dryRun=true"), body)
    found = answer["apps"].get(name, {"changes": []})
    if output is not Format.TABLE:
        show(found, (), output)
    else:
        _print(name, found)
    raise typer.Exit(_CHANGES if found["changes"] else 0)


def apply(
    file: File,
    app: Name = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until ready.")] = False,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Create an app or make it what a file says; waits until the revision is ready."""
    api = Api(server)
    name, body = _read(file, app, api)
    after = api.call("PUT", ("apps", name), body)
    revision = revision_of(after)
    if not no_wait:
        wait_ready(api, name, revision, READY_S)
    show(api.get("apps", name, "revisions", revision), REVISIONS, output)


def _read(file: Path, app: str, api: Api) -> tuple[str, dict[str, Any]]:
    import yaml

    from control.api.azure import accepted
    from control.api.wire.depth import TOO_DEEP, is_deep
    from control.model.errors import ControlError

    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8; write YAML in UTF-8")
    except RecursionError:
        fail(f"{file} {TOO_DEEP}")
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        fail(f"{file} is no YAML: {' '.join(str(error).split())}")
    if is_deep(content):
        fail(f"{file} {TOO_DEEP}")
    if not isinstance(content, dict):
        fail(f"{file} holds no app: write properties with configuration and template")
    name = app or str(content.get("name", ""))
    if not name:
        fail(f"{file} has no name; add `name:` or give the app on the command line")
    properties = content.get("properties", {k: v for k, v in content.items() if k in _KEYS})
    if not isinstance(properties, dict):
        fail(f"{file}: properties is no mapping")
    try:
        body = accepted.writable(properties)
    except ControlError as error:
        fail(error.message)
    if _EXPORTED in content or _EXPORTED in properties:
        _let_suffix_be_made(api, name, body)
    return name, body


_KEYS = ("configuration", "template")
_EXPORTED = "latestRevisionName"  # stands in what `show` prints, and in no file written by hand


def _let_suffix_be_made(api: Api, app: str, body: dict[str, Any]) -> None:
    """The suffix in a printed app is that of the revision it was printed of, not a wish.

    With an unchanged template the revision stays as it is, whatever the suffix says.
    """
    template = body.get("template")
    if not isinstance(template, dict):
        return
    suffix = template.get("revisionSuffix")
    if suffix and api.find("apps", app, "revisions", f"{app}--{suffix}") is not None:
        body["template"] = {**template, "revisionSuffix": ""}


def _print(name: str, found: dict[str, Any]) -> None:
    if not found["changes"]:
        console.print(f"{name} is what the file says; nothing would change")
        return
    for line in found["changes"]:
        console.print(f"  {line}")
    for title, names in (
        ("become active", found["activates"]),
        ("go inactive", found["deactivates"]),
        ("hosts appear", found["hosts"]["appear"]),
        ("hosts vanish", found["hosts"]["vanish"]),
    ):
        if names:
            console.print(f"{title}: {', '.join(names)}")
    console.print(f"traffic: {_split(found['traffic'], 'before')} -> "
                  f"{_split(found['traffic'], 'after')}")  # fmt: skip
    for warning in found["warnings"]:
        console.print(f"warning: {warning}", style="yellow")


def _split(traffic: dict[str, dict[str, int]], when: str) -> str:
    return ", ".join(f"{name} {weight} %" for name, weight in traffic[when].items()) or "nobody"

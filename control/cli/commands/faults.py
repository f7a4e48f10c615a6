"""`turnout fault …`: break a revision a little, on purpose and for a while."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from control.cli.client import Api, fail
from control.cli.options import App, full_name
from control.cli.output import Format, Output, Server, show

TABLE = Format.TABLE
_COLUMNS = (
    ("Revision", "name"),
    ("Delay ms", "fault.delayMs"),
    ("of %", "fault.delayPercent"),
    ("Abort", "fault.abortStatus"),
    ("of % ", "fault.abortPercent"),
    ("Until", "fault.until"),
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)\Z")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}

Revision = Annotated[str, typer.Argument(help="The revision, or its suffix.", metavar="REVISION")]

fault_commands = typer.Typer(no_args_is_help=True, help="Faults on purpose.")


@fault_commands.command("set")
def set_fault(
    app: App,
    revision: Revision,
    delay: Annotated[str, typer.Option("--delay", help="Such as 200ms.")] = "",
    abort: Annotated[int, typer.Option("--abort", help="Status to answer with.")] = 0,
    percent: Annotated[
        list[float] | None,
        typer.Option(
            "--percent", help="Of the requests; with both faults first the delay's, then the other."
        ),
    ] = None,
    duration: Annotated[str, typer.Option("--for", help="How long, such as 5m.")] = "5m",
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Delay or refuse a part of a revision's requests; it ends by itself."""
    shares = list(percent or [])
    kinds = [name for name, given in (("delay", delay), ("abort", abort)) if given]
    if not kinds or len(shares) > len(kinds):
        fail("give --delay DURATION or --abort STATUS, each with one --percent", 2)
    shares += [100.0] * (len(kinds) - len(shares))
    body: dict[str, Any] = {"seconds": _milliseconds(duration) / 1000}
    for kind, share in zip(kinds, shares, strict=True):
        body[f"{kind}Percent"] = share
    if delay:
        body["delayMs"] = _milliseconds(delay)
    if abort:
        body["abortStatus"] = abort
    path = ("apps", app, "revisions", full_name(app, revision), "fault")
    show(Api(server).call("PUT", path, body), _COLUMNS, output)


@fault_commands.command("list")
def list_faults(app: App, output: Output = TABLE, server: Server = "") -> None:
    """List the faults that act."""
    found = Api(server).every("apps", app, "revisions")
    show([r for r in found if "fault" in r], _COLUMNS, output)


@fault_commands.command("clear")
def clear_fault(app: App, revision: Revision, output: Output = TABLE, server: Server = "") -> None:
    """End a fault at once."""
    path = ("apps", app, "revisions", full_name(app, revision), "fault")
    show(Api(server).call("DELETE", path), _COLUMNS, output)


def _milliseconds(text: str) -> int:
    match = _DURATION.match(text)
    if match is None:
        fail(f"{text!r} is no duration such as 200ms, 5s or 10m", 2)
    return int(float(match[1]) * _MS[match[2]])

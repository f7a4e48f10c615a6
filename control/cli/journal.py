"""`turnout journal` and `turnout rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli.client import Api
from control.cli.options import NoWait
from control.cli.output import APPS, Format, Output, Server, show
from control.cli.waiting import wait_settled

_COLUMNS = (
    ("No", "number"),
    ("Time", "time"),
    ("App", "app"),
    ("Who", "who"),
    ("Changes", "text"),
    ("Note", "note"),
)


def journal(
    app: Annotated[str, typer.Argument(help="Only this app's changes.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 20,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Show what was changed, by whom and when; TURNOUT_NOTE adds a note to a change."""
    records = Api(server).get(f"journal?app={app}&limit={limit}")["value"]
    if output is Format.TABLE:
        for record in records:
            record["text"] = "\n".join(record["changes"]) or "nothing"
    show(records, _COLUMNS, output)


def rollback(
    app: Annotated[str, typer.Argument(help="Name of the app.")],
    to: Annotated[
        int,
        typer.Option(
            "--to", help="Number of a journal record; default: as of before the last change."
        ),
    ] = 0,
    no_wait: NoWait = False,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Bring an app's settings and traffic back to a record; revisions are woken if need be."""
    api = Api(server)
    wire = api.call("POST", ("apps", app, "rollback"), {"to": to})
    if not no_wait:
        wire = wait_settled(api, app)
    show(wire, APPS, output)

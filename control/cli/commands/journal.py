"""`turnout journal` and `turnout rollback`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api, console, fail, printable
from control.cli.options import NoWait
from control.cli.output import Format, Output, Server, show, show_apps
from control.cli.waiting import wait_settled
from control.cli.who_serves import who_serves

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
            "--to", help="Number of a journal record; default: that before the last change."
        ),
    ] = 0,
    no_wait: NoWait = False,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Bring an app's settings and traffic back to a record; revisions are woken if need be.

    Without a number it undoes the last change, and drops a deploy that is not finished at once; a
    second rollback goes further back.
    """
    api = Api(server)
    records = api.get(f"journal?app={app}&limit=1")["value"]
    newest = records[0]["number"] if records else 0
    wire = api.call("POST", ("apps", app, "rollback"), {"to": to, "newest": newest})
    record = wire["restored"]
    if not no_wait and wire["provisioningState"] == "InProgress":
        wire = wait_settled(api, app)
        _check_it_led_there(api, app, record["number"], newest)
    show_apps(api, wire, output)
    if output is Format.TABLE:
        _tell(api, wire, record, newest)


def _check_it_led_there(api: Api, app: str, number: int, before: int) -> None:
    """Leaves when it was given up: who waits only sees that nothing is under way any more."""
    since = [r for r in api.get(f"journal?app={app}")["value"] if r["number"] > before]
    if not any(r.get("rolledBackTo") == number for r in since):
        fail(
            f"the rollback to record {number} was given up before it was complete; "
            f"{who_serves(api, app)}; see: turnout journal {app}"
        )


def _tell(api: Api, wire: dict[str, Any], record: dict[str, Any], before: int) -> None:
    """What was restored, who serves, and the way back: a second rollback would not be it."""
    lines = "; ".join(record["changes"]) or "nothing"
    moment = str(record["time"]).partition(".")[0].replace("T", " ")
    app, is_over = wire["name"], wire["provisioningState"] != "InProgress"
    how = "is as after" if is_over else "goes back to"
    console.print(printable(f"{app} {how} record {record['number']} of {moment}: {lines}"))
    console.print(f"{who_serves(api, app)}; undo this with: turnout rollback {app} --to {before}")

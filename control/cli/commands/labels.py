"""`turnout label …`: labels are a revision's own host name."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli.client import Api
from control.cli.commands.resources import show_traffic_of
from control.cli.options import App, RevisionName, full_name
from control.cli.output import HISTORY, Format, Output, Server, show

TABLE = Format.TABLE
LabelName = Annotated[str, typer.Option("--label", help="The label.")]

label_commands = typer.Typer(no_args_is_help=True, help="Labels: a revision's own host name.")


@label_commands.command("add")
def add_label(
    app: App,
    label: LabelName,
    revision: RevisionName,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Put a label on a revision; a label that another one holds moves."""
    body = {"revision": full_name(app, revision)}
    api = Api(server)
    api.call("PUT", ("apps", app, "labels", label), body)
    show_traffic_of(api, app, output)


@label_commands.command("move")
def move_label(
    app: App,
    label: LabelName,
    revision: RevisionName,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Move a label to another revision in one write."""
    add_label(app, label, revision, output, server)


@label_commands.command("remove")
def remove_label(app: App, label: LabelName, output: Output = TABLE, server: Server = "") -> None:
    """Take a label away."""
    api = Api(server)
    api.call("DELETE", ("apps", app, "labels", label))
    show_traffic_of(api, app, output)


@label_commands.command("swap")
def swap_labels(
    app: App,
    source: Annotated[str, typer.Option("--source", help="One label.")],
    target: Annotated[str, typer.Option("--target", help="The other label.")],
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Exchange two labels in one write."""
    body = {"first": source, "second": target}
    api = Api(server)
    api.call("POST", ("apps", app, "labels", "swap"), body)
    show_traffic_of(api, app, output)


@label_commands.command("history")
def label_history(app: App, label: LabelName, output: Output = TABLE, server: Server = "") -> None:
    """Show which revisions a label named, and when."""
    show(Api(server).get("apps", app, "labels", label, "history")["records"], HISTORY, output)

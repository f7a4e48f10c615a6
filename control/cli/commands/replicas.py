"""`turnout replica …`: the running copies of a revision."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api
from control.cli.options import App, full_name
from control.cli.output import REPLICAS, Format, Output, Server, show

TABLE = Format.TABLE

replica_commands = typer.Typer(no_args_is_help=True, help="Replicas of a revision.")


@replica_commands.command("list")
def list_replicas(
    app: App,
    revision: Annotated[str, typer.Option("--revision", help="Default: all that serve.")] = "",
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """List the replicas of a revision, or of all that serve."""
    api = Api(server)
    found: list[Any] = []
    for name in serving(api, app, revision):
        found += api.every("apps", app, "revisions", name, "replicas")
    show(found, REPLICAS, output)


@replica_commands.command("show")
def show_replica(
    app: App,
    replica: Annotated[str, typer.Option("--replica", help="The replica's name.")],
    revision: Annotated[str, typer.Option("--revision", help="Default: from the name.")] = "",
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Show one replica."""
    name = full_name(app, revision) or replica.rpartition("-")[0]
    show(Api(server).get("apps", app, "revisions", name, "replicas", replica), REPLICAS, output)


def serving(api: Api, app: str, revision: str = "") -> list[str]:
    """The named revision, else those that requests go to, else the latest."""
    if revision:
        return [full_name(app, revision)]
    active = [r for r in api.every("apps", app, "revisions") if r["active"]]
    found = [r["name"] for r in active if r["trafficWeight"]]
    return found or [api.get("apps", app)["latestRevisionName"]]

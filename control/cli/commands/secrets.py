"""`turnout secret …`: values that revisions refer to by name."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli.client import Api, console, fail
from control.cli.options import App, pairs
from control.cli.output import Format, Output, Server, show

TABLE = Format.TABLE
_COLUMNS = (("Name", "name"), ("Value", "value"))

secret_commands = typer.Typer(no_args_is_help=True, help="Secrets of an app.")


@secret_commands.command("list")
def list_secrets(
    app: App,
    show_values: Annotated[bool, typer.Option("--show-values", help="Values too.")] = False,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """List the secrets of an app, by name."""
    api = Api(server)
    if show_values:
        show(api.call("POST", ("apps", app, "listSecrets"))["value"], _COLUMNS, output)
    else:
        show(api.every("apps", app, "secrets"), _COLUMNS[:1], output)


@secret_commands.command("show")
def show_secret(
    app: App,
    secret_name: Annotated[str, typer.Option("--secret-name", help="Which one.")],
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Show one secret with its value."""
    found = Api(server).call("POST", ("apps", app, "listSecrets"))["value"]
    secret = next((s for s in found if s["name"] == secret_name), None)
    if secret is None:
        fail(f"app {app} has no secret {secret_name}")
    show(secret, _COLUMNS, output)


@secret_commands.command("set")
def set_secrets(
    app: App,
    secrets: Annotated[list[str], typer.Option("--secrets", help="NAME=VALUE; repeat for each.")],
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Add secrets or replace their values; restart a revision to let it see them."""
    answer = Api(server).call("PATCH", ("apps", app, "secrets"), {"secrets": pairs(secrets)})
    show(answer["value"], _COLUMNS[:1], output)


@secret_commands.command("remove")
def remove_secret(
    app: App,
    secret_names: Annotated[list[str], typer.Option("--secret-names", help="Repeat for each.")],
    server: Server = "",
) -> None:
    """Take secrets away that nothing refers to any more."""
    for name in secret_names:
        Api(server).call("DELETE", ("apps", app, "secrets", name))
        console.print(f"{name} removed")

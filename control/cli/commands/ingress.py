"""`turnout ingress …`: whether and how an app has a host name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api, console
from control.cli.options import App, is_external
from control.cli.output import Format, Output, Server, show

TABLE = Format.TABLE
_COLUMNS = (
    ("Fqdn", "fqdn"),
    ("Target port", "targetPort"),
    ("External", "external"),
    ("Custom domains", "customDomains"),
)

TargetPort = Annotated[
    int | None,
    typer.Option("--target-port", min=1, max=65535, help="Where containers listen."),
]
Type = Annotated[
    str,
    typer.Option("--type", help="external, or internal: only for the router's internal_networks."),
]
Hostnames = Annotated[
    list[str] | None, typer.Option("--hostname", help="A custom domain; repeat for each.")
]

ingress_commands = typer.Typer(no_args_is_help=True, help="How requests reach an app.")


@ingress_commands.command("show")
def show_ingress(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Show the ingress of an app."""
    _show(Api(server).get("apps", app), output)


@ingress_commands.command("enable")
def enable(
    app: App,
    target_port: TargetPort = None,
    type_: Type = "",
    hostname: Hostnames = None,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Give an app its host names, or change how they lead to it."""
    ingress: dict[str, Any] = {}
    if target_port is not None:
        ingress["targetPort"] = target_port
    if (external := is_external(type_)) is not None:
        ingress["external"] = external
    if hostname is not None:
        ingress["customDomains"] = [{"name": name} for name in hostname]
    _patch(app, ingress, output, server)


@ingress_commands.command("update")
def update(
    app: App,
    target_port: TargetPort = None,
    type_: Type = "",
    hostname: Hostnames = None,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Change how an app's host names lead to it; what is not given stays."""
    enable(app, target_port, type_, hostname, output, server)


@ingress_commands.command("disable")
def disable(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Take an app's host names away; its revisions go on running."""
    _patch(app, None, output, server)


def _patch(app: str, ingress: dict[str, Any] | None, output: Format, server: str) -> None:
    body = {"configuration": {"ingress": ingress}}
    _show(Api(server).call("PATCH", ("apps", app), body), output)


def _show(wire: dict[str, Any], output: Format) -> None:
    ingress = wire["configuration"]["ingress"]
    if ingress is None and output is TABLE:
        console.print(f"{wire['name']} has no ingress; turnout ingress enable {wire['name']}")
        return
    if ingress is not None and output is TABLE:
        domains = [domain["name"] for domain in ingress.get("customDomains", [])]
        ingress = {**ingress, "customDomains": domains}
    show(ingress, _COLUMNS, output)

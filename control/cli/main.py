"""The `turnout` command: every noun and verb in one screen."""

from __future__ import annotations

from typing import Annotated

import typer

from control.cli import waiting
from control.cli.commands import (
    apply,
    azure_env,
    backups,
    console,
    deploy,
    explain,
    faults,
    ingress,
    journal,
    labels,
    logs,
    replicas,
    resources,
    secrets,
    servers,
    status,
    top,
)
from control.cli.examples import give_examples
from control.cli.options import take_token
from control.cli.usage import Commands
from router import __version__

app = typer.Typer(
    name="turnout",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Revisions of Azure Container Apps on any Docker host.",
    epilog="Commands talk to the control plane at --server or TURNOUT_SERVER (http://127.0.0.1:8081),"
    " with the token of --token, TURNOUT_TOKEN or the state directory (TURNOUT_STATE, .turnout).",
)


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Revisions of Azure Container Apps on any Docker host."""


def show_version() -> None:
    """Show the versions of turnout, Python and uvloop, and whether turnout is compiled."""
    from importlib.metadata import version
    from platform import python_version

    from router.build import build_kind

    ours = f"turnout {__version__} ({build_kind()})"
    typer.echo(f"{ours}, Python {python_version()}, uvloop {version('uvloop')}")


for server in (
    servers.up, servers.router, servers.control, servers.demo, servers.upgrade, servers.check,
    waiting.wait,
):  # fmt: skip
    app.command()(server)
app.command("version")(show_version)
app.command("console")(console.console_link)
app.command()(deploy.deploy)
app.command()(apply.plan)
app.command()(apply.apply)
app.command("azure-env")(azure_env.azure_env)
app.command()(backups.backup)
app.command()(backups.restore)
app.command()(logs.logs)
app.command()(status.status)
app.command()(top.top)
app.command()(explain.explain)
app.command()(journal.journal)
app.command()(journal.rollback)
app.add_typer(resources.app_commands, name="app")
app.add_typer(resources.revision_commands, name="revision")
app.add_typer(resources.traffic_commands, name="traffic")
app.add_typer(labels.label_commands, name="label")
app.add_typer(ingress.ingress_commands, name="ingress")
app.add_typer(faults.fault_commands, name="fault")
app.add_typer(secrets.secret_commands, name="secret")
app.add_typer(replicas.replica_commands, name="replica")

take_token(app)
give_examples(app)

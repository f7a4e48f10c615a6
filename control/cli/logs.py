"""`turnout logs`: what replicas write."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from control.cli.client import Api, console
from control.cli.options import App
from control.cli.output import Server


def logs(
    app: App,
    revision: Annotated[str, typer.Option("--revision", help="Default: the latest.")] = "",
    replica: Annotated[str, typer.Option("--replica", help="Default: all.")] = "",
    tail: Annotated[int, typer.Option("--tail", min=0, max=1000)] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until they end.")
    ] = False,
    server: Server = "",
) -> None:
    """Show the last lines that replicas wrote."""
    api = Api(server)
    name = revision or api.get("apps", app)["latestRevisionName"]
    path = ("apps", app, "revisions", name, "replicas")
    found = [r["name"] for r in api.get(*path)["value"] if replica in ("", r["name"])]
    if follow:
        asyncio.run(_follow(api, [(one, (*path, one)) for one in found], tail))
        return
    for one in found:
        for line in api.get(*path, one, f"logs?tail={tail}")["lines"]:
            _print(one, line)


async def _follow(api: Api, replicas: list[tuple[str, tuple[str, ...]]], tail: int) -> None:
    async def one(name: str, path: tuple[str, ...]) -> None:
        async for line in api.lines(*path, f"logs?tail={tail}&follow=true"):
            _print(name, line)

    await asyncio.gather(*(one(name, path) for name, path in replicas))


def _print(replica: str, line: str) -> None:
    console.print(f"{replica}  {line}", markup=False, soft_wrap=True)

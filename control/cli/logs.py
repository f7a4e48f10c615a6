"""`turnout logs`: what replicas write."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import quote

import typer

from control.cli.client import Api, console
from control.cli.options import App
from control.cli.output import Server


def logs(
    app: App,
    revision: Annotated[str, typer.Option("--revision", help="Default: the latest.")] = "",
    replica: Annotated[str, typer.Option("--replica", help="Default: all.")] = "",
    container: Annotated[
        str, typer.Option("--container", help="Default: the first of the template.")
    ] = "",
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
    query = f"tail={tail}" + (f"&container={quote(container)}" if container else "")
    if follow:
        asyncio.run(_follow(api, [(one, (*path, one)) for one in found], query))
        return
    for one in found:
        for line in api.get(*path, one, f"logs?{query}")["lines"]:
            _print(one, line)


async def _follow(api: Api, replicas: list[tuple[str, tuple[str, ...]]], query: str) -> None:
    async def one(name: str, path: tuple[str, ...]) -> None:
        async for line in api.lines(*path, f"logs?{query}&follow=true"):
            _print(name, line)

    await asyncio.gather(*(one(name, path) for name, path in replicas))


def _print(replica: str, line: str) -> None:
    console.print(f"{replica}  {line}", soft_wrap=True)

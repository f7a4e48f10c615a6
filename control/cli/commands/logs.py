"""`turnout logs`: what replicas write."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import typer

from control.cli.client import Api, console, errors, printable
from control.cli.commands.replicas import serving
from control.cli.options import App
from control.cli.output import Server

Path = tuple[str, ...]


def logs(
    app: App,
    revision: Annotated[str, typer.Option("--revision", help="Default: all that serve.")] = "",
    replica: Annotated[str, typer.Option("--replica", help="Default: all.")] = "",
    container: Annotated[
        str, typer.Option("--container", help="Default: the first of the template.")
    ] = "",
    tail: Annotated[
        int, typer.Option("--tail", min=0, max=1000, help="Lines of each replica to begin with.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until they end.")
    ] = False,
    server: Server = "",
) -> None:
    """Show the last lines that replicas wrote."""
    api = Api(server)
    query = f"logs?tail={tail}" + (f"&container={quote(container)}" if container else "")
    found: dict[str, Path] = {}
    for name in serving(api, app, revision):
        path: Path = ("apps", app, "revisions", name, "replicas")
        wires = api.every(*path)
        found |= {r["name"]: (*path, r["name"]) for r in wires if replica in ("", r["name"])}
    if follow:
        for one, line in _merged(api, found, query):
            _print(one, line)
        return
    lines = [(one, line) for one, path in found.items() for line in _last(api, path, query)]
    for one, line in lines:
        _print(one, line)
    if not lines:
        who = ", ".join(found) or f"no replica of {revision or app} is there; it"
        errors.print(printable(f"{who} has written nothing yet"), soft_wrap=True)


def _last(api: Api, path: Path, query: str) -> list[str]:
    answer = api.find(*path, query)
    if answer is None and api.find(*path) is None:
        return []  # it has ended since it was listed
    lines: list[str] = (answer or api.get(*path, query))["lines"]
    return lines


def _merged(api: Api, replicas: dict[str, Path], query: str) -> Iterator[tuple[str, str]]:
    """The lines of all replicas as they come, until all have ended or one cannot be read.

    A thread each, for a read blocks; they are daemons, so Ctrl-C does not wait for them.
    """
    said: queue.Queue[tuple[str, str | BaseException | None]] = queue.Queue()

    def read(name: str, path: Path) -> None:
        try:
            for line in api.lines(*path, f"{query}&follow=true"):
                said.put((name, line))
            said.put((name, None))
        except BaseException as error:  # raised where the lines are wanted
            said.put((name, error))

    for name, path in replicas.items():
        threading.Thread(target=read, args=(name, path), daemon=True).start()
    running = len(replicas)
    while running:
        name, what = said.get()
        if isinstance(what, BaseException):
            raise what
        if what is None:
            running -= 1
        else:
            yield name, what


def _print(replica: str, line: str) -> None:
    console.print(f"{replica}  {line}", soft_wrap=True)

"""`turnout explain URL`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api, console, fail
from control.cli.output import Format, Output, Server, show

_COLUMNS = (
    ("Revision", "name"),
    ("Weight", "weight"),
    ("Chance", "chance"),
    ("Why", "why"),
    ("Replicas", "ready"),
)


def explain(
    url: Annotated[str, typer.Argument(help="URL or host of a request.")],
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Say which revision would answer a request, and why."""
    found = _explain(Api(server), url.partition("&")[0])  # nothing behind the host counts
    if output is Format.JSON:
        show(found, _COLUMNS, output)
        return
    if found["app"] is not None:
        console.print(f"{found['host']} leads to app {found['app']}: {found['because']}")
    for revision in found["revisions"]:
        ready = sum(r["ready"] for r in revision["replicas"])
        revision["ready"] = f"{ready} of {len(revision['replicas'])} ready"
        revision["chance"] = f"{revision['chance']:.0%}"
    if found["revisions"]:
        show(found["revisions"], _COLUMNS, output)
    if "answer" in found:
        answer = found["answer"]
        console.print(f"answered by the edge: {answer['status']} {answer['code']}")
        console.print(answer["message"])
        if found["app"] is None:
            console.print("The apps and their URLs: turnout app list")


def _explain(api: Api, url: str) -> dict[str, Any]:
    """As the control plane says, or by the router's table for what it found by labels."""
    found: dict[str, Any] = {"app": None}
    if api.is_control_plane():
        found = api.get(f"explain?url={url}")
    if found["app"] is not None:
        return found
    from control.model.errors import ControlError
    from control.publish.explain import explain_table
    from router.contract.check import check
    from router.contract.snapshot import Snapshot

    table = check(api.table())
    if not isinstance(table, Snapshot):
        return found
    try:
        return explain_table(table, url)
    except ControlError as error:
        fail(error.message)

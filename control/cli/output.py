"""Results as a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from control.cli.client import Api, console, printable


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="table, json or yaml.")]
Server = Annotated[
    str,
    typer.Option(
        "--server",
        help="Control plane, URL or HOST:PORT; default TURNOUT_SERVER, then 127.0.0.1:8081.",
    ),
]

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)[.\d]*\+00:00")

# a title, then the path of the value
Columns = Sequence[tuple[str, str]]

APPS: Columns = (
    ("Name", "name"),
    ("Mode", "configuration.activeRevisionsMode"),
    ("Status", "runningStatus"),
    ("Provisioning", "provisioningState"),
    ("Latest", "latestRevisionName"),
    ("Url", "url"),
)
REVISIONS: Columns = (
    ("Name", "name"),
    ("Active", "active"),
    ("Traffic", "trafficWeight"),
    ("Labels", "labels"),
    ("Replicas", "replicas"),
    ("Restarts", "restarts"),
    ("State", "runningState"),
    ("Health", "healthState"),
    ("Errors %", "errorPercent"),
    ("Image", "template.containers.0.image"),
    ("Age", "createdTime"),
)
REPLICAS: Columns = (
    ("Name", "name"),
    ("State", "state"),
    ("Address", "address"),
    ("Restarts", "containers.0.restartCount"),
    ("Last failure", "lastFailure.reason"),
    ("At", "lastFailure.time"),
    ("Details", "runningStateDetails"),
)
TRAFFIC: Columns = (
    ("Revision", "revisionName"),
    ("Latest", "latestRevision"),
    ("Weight", "weight"),
    ("Label", "label"),
    ("Serves", "serves"),
)
HISTORY: Columns = (
    ("Revision", "revision"),
    ("Status", "status"),
    ("Start", "start"),
    ("Stop", "stop"),
)


_UNBROKEN = ("Name", "Revision", "Fqdn", "Url")


def show(value: Any, columns: Columns, output: Format) -> None:
    """Print a resource or a list of resources."""
    if output is Format.JSON:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        return
    if output is Format.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
        return
    from rich import box
    from rich.table import Table

    rows = value if isinstance(value, list) else [value]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, _ in columns:
        table.add_column(title, overflow="fold", no_wrap=title in _UNBROKEN)

    for row in rows:
        cells = ((title, _at(row, path)) for title, path in columns)
        table.add_row(*(age(value) if title == "Age" else _text(value) for title, value in cells))
    console.print(table)


def show_apps(api: Api, apps: Any, output: Format) -> None:
    """Print an app or a list of apps, each with its URL."""
    if output is Format.TABLE:
        for app in apps if isinstance(apps, list) else [apps]:
            if fqdn := _at(app, "configuration.ingress.fqdn"):
                app["url"] = api.url_of(fqdn)
    show(apps, APPS, output)


def age(moment: str | None, now: float | None = None) -> str:
    """How long ago a time of the API was, in its largest unit."""
    if moment is None:
        return ""
    then = datetime.fromisoformat(moment).timestamp()
    seconds = max(0, int((time.time() if now is None else now) - then))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return printable(", ".join(map(str, value)))
    return _MOMENT.sub(r"\1 \2", printable(str(value)))

"""Results as a table for people, JSON or YAML for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer
import yaml
from rich import box
from rich.table import Table

from control.cli.client import console, printable


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="table, json or yaml.")]
Server = Annotated[
    str, typer.Option("--server", help="Control plane; default TURNOUT_SERVER, then localhost.")
]

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)[.\d]*\+00:00")

# title, then the path of the value
Columns = Sequence[tuple[str, str]]

APPS: Columns = (
    ("Name", "name"),
    ("Mode", "configuration.activeRevisionsMode"),
    ("Status", "runningStatus"),
    ("Provisioning", "provisioningState"),
    ("Latest", "latestRevisionName"),
    ("Fqdn", "configuration.ingress.fqdn"),
)
REVISIONS: Columns = (
    ("Name", "name"),
    ("Active", "active"),
    ("Traffic", "trafficWeight"),
    ("Labels", "labels"),
    ("Replicas", "replicas"),
    ("State", "runningState"),
    ("Health", "healthState"),
    ("Created", "createdTime"),
)
REPLICAS: Columns = (
    ("Name", "name"),
    ("State", "state"),
    ("Address", "address"),
    ("Restarts", "containers.0.restartCount"),
    ("Details", "runningStateDetails"),
)
TRAFFIC: Columns = (
    ("Revision", "revisionName"),
    ("Latest", "latestRevision"),
    ("Weight", "weight"),
    ("Label", "label"),
)
HISTORY: Columns = (
    ("Revision", "revision"),
    ("Status", "status"),
    ("Start", "start"),
    ("Stop", "stop"),
)


def show(value: Any, columns: Columns, output: Format) -> None:
    """Print one resource or a list of them."""
    if output is Format.JSON:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        sys.stdout.write(text + "\n")
        return
    if output is Format.YAML:
        sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
        return
    rows = value if isinstance(value, list) else [value]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, _ in columns:
        table.add_column(title, overflow="fold", no_wrap=title in ("Name", "Revision", "Fqdn"))
    for row in rows:
        table.add_row(*(_text(_at(row, path)) for _, path in columns))
    console.print(table)


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

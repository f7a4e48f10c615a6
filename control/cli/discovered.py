"""Apps that no control plane knows, as a router's table describes them."""

from __future__ import annotations

from typing import Any


def discovered(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The apps of a table in the form that `app list` shows."""
    return [
        {
            "name": app["name"],
            "configuration": {
                "activeRevisionsMode": app["mode"].capitalize(),
                "ingress": {"fqdn": f"{app['name']}.{table['domain']}"},
            },
            "runningStatus": "Running" if _ready(app) else "No replica is ready",
            "latestRevisionName": app["revisions"][-1]["name"] if app["revisions"] else None,
        }
        for app in table["apps"]
    ]


def _ready(app: dict[str, Any]) -> int:
    return sum(len(revision["endpoints"]) for revision in app["revisions"])

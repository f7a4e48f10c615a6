"""Who answers on an app's host, as a sentence."""

from __future__ import annotations

from control.cli.client import Api


def told(api: Api, app: str) -> str:
    """Who has how much of the traffic."""
    revisions = api.every("apps", app, "revisions")
    found = [(r["name"], r["trafficWeight"]) for r in revisions if r["trafficWeight"]]
    if len(found) == 1:
        return f"{found[0][0]} serves"
    names = " and ".join(f"{name} ({weight} %)" for name, weight in found)
    return f"{names} serve" if names else "nobody serves"

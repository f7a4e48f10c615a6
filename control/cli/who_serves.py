"""A sentence about which revisions answer on an app's host."""

from __future__ import annotations

from control.cli.client import Api


def who_serves(api: Api, app: str) -> str:
    """The revisions that answer, each with its share of the traffic."""
    weighted = [r for r in api.every("apps", app, "revisions") if r["trafficWeight"]]
    found = [(r["name"], r["trafficWeight"]) for r in weighted if _answers(api, app, r["name"])]
    if len(found) == 1:
        return f"{found[0][0]} serves"
    names = " and ".join(f"{name} ({weight} %)" for name, weight in found)
    return f"{names} serve" if names else "nobody serves"


def _answers(api: Api, app: str, revision: str) -> bool:
    """Whether a replica takes requests; never true for a stopped app."""
    replicas = api.every("apps", app, "revisions", revision, "replicas")
    return any(replica["state"] == "Ready" for replica in replicas)

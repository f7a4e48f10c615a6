"""`turnout status`: an app on one screen."""

from __future__ import annotations

from typing import Any

from control.cli.client import Api, console, printable
from control.cli.commands.resources import reason_of
from control.cli.options import App
from control.cli.output import Format, Output, Server, show
from control.cli.waiting import next_steps

_COLUMNS = (
    ("Revision", "name"),
    ("Traffic %", "trafficWeight"),
    ("Labels", "labels"),
    ("Ready", "ready"),
    ("Restarts", "restarts"),
    ("Errors %", "errorPercent"),
    ("State", "runningState"),
    ("Image", "template.containers.0.image"),
    ("Age", "createdTime"),
)

Wire = dict[str, Any]


def status(app: App, output: Output = Format.TABLE, server: Server = "") -> None:
    """Show an app on one screen: who serves and how well, what goes on, and what failed."""
    api = Api(server)
    wire = api.get("apps", app)
    revisions = api.every("apps", app, "revisions")
    shown = [r for r in revisions if r["active"]]
    for revision in shown:
        replicas = api.every("apps", app, "revisions", revision["name"], "replicas")
        ready = sum(r["containers"][0]["ready"] for r in replicas)
        revision["ready"] = f"{ready} of {revision['replicas']}"
        revision["isReady"] = bool(ready)
    if output is not Format.TABLE:
        show({"app": wire, "revisions": shown}, (), output)
        return
    for line in _head(api, wire, shown):
        console.print(printable(line), soft_wrap=True)
    if shown:
        show(shown, _COLUMNS, output)
    for line in _tail(wire, revisions):
        console.print(printable(line), soft_wrap=True)


def _head(api: Api, app: Wire, active: list[Wire]) -> list[str]:
    """What the app is, and who answers for it."""
    name, configuration = app["name"], app["configuration"]
    fqdn = (configuration["ingress"] or {}).get("fqdn")
    where = f" at {api.url_of(fqdn)}" if fqdn else ", without ingress"
    mode = configuration["activeRevisionsMode"].lower()
    lines = [f"{name}: {app['runningStatus']}, {mode} mode{where}"]
    said = [
        f"{r['name']} {r['trafficWeight']} %{'' if r['isReady'] else ' (no replica is ready)'}"
        for r in active
        if r["trafficWeight"]
    ]
    lines.append(f"serves: {', '.join(said) or 'nobody'}")
    if app["runningStatus"] == "Stopped" and active:
        lines.append(f"it is stopped; start it: turnout app start {name}")
    elif not active:
        revision = app["latestReadyRevisionName"] or app["latestRevisionName"]
        back = f"turnout revision activate {name} --revision {revision}"
        lines.append(f"no revision is active; bring one back: {back}")
    return lines


def _tail(app: Wire, revisions: list[Wire]) -> list[str]:
    """What goes on, and what failed and why."""
    name, latest = app["name"], app["latestRevisionName"]
    lines = []
    if app["provisioningState"] == "InProgress":
        going = [r["name"] for r in revisions if r.get("provisioningState") == "Provisioning"]
        lines.append(f"under way: {', '.join(going) or 'a change of its revisions'}")
        lines.append(next_steps(name))
    if problem := app.get("provisioningError"):
        lines.append(f"failed: {problem}")
    for revision in revisions:
        reason = reason_of(revision) if revision["active"] or revision["name"] == latest else ""
        if reason and app["runningStatus"] != "Stopped":
            lines.append(f"{revision['name']}: {reason}")
    if app.get("quarantined"):
        lines.append(f"served as it was: {app['quarantined']}")
    return lines

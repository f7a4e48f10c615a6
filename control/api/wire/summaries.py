"""An app in one line, and on one page, for the console and `GET /v1/events`. Pure."""

from __future__ import annotations

from typing import Any

from control.api.wire.representation import age_of, app_wire, moment, replica_wire, revision_wire
from control.model import traffic
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.states import app_provisioning, app_running, running_state
from control.publish.rates import Rate
from router.contract.hosts import app_host, label_host, revision_host

Tone = str  # ok, busy, bad or off: the colour of a state

_BAD = ("Failed", "ActivationFailed")
_TONES = {
    "Running": "ok", "RunningAtMaxScale": "ok", "Processing": "busy", "Activating": "busy",
    "Degraded": "bad", "Failed": "bad", "ActivationFailed": "bad", "Stopped": "off", "": "off",
}  # fmt: skip
_FAILING_SHARE = 0.05  # of a revision's requests: from this share on, the overview mentions it
_FAILING_PER_S = 0.2
_RESTING_SHOWN = 5  # inactive revisions on an app's page, until the user asks for all


def line(view: AppView, domain: str, quarantined: str = "") -> dict[str, Any]:
    """An app as a row of the overview."""
    app = view.app
    assert app is not None
    tone, what = _going_on(app, view)
    if quarantined:
        tone, what = "bad", f"quarantined: {quarantined}"
    shares = traffic.shares(view)
    weights = [[name, share.weight] for name, share in shares.items() if share.weight]
    wire: dict[str, Any] = {
        "name": app.name,
        "mode": app.configuration.active_revisions_mode,
        "status": app_running(view),
        "tone": tone,
        "goingOn": what,
        "revisions": sum(r.is_active for r in view.revisions.values()),
        "weights": sorted(weights, key=lambda pair: -int(pair[1])),
        "changed": moment(app.updated_at),
    }
    if app.configuration.ingress is not None:
        wire["fqdn"] = app_host(app.name, domain)
    return wire


def _going_on(app: App, view: AppView) -> tuple[Tone, str]:
    """A sentence about how an app is doing."""
    if app.is_stopped:
        return "off", "stopped"
    if app.restoring:
        needs = ", ".join(_short(name) for name in app.restoring["needs"])
        return "busy", f"rolling back: waits for {needs}" if needs else "rolling back"
    active = sorted((r for r in view.revisions.values() if r.is_active), key=age_of)
    for revision in active:
        replicas = view.of(revision.name)
        state = running_state(app, revision, replicas) or ""
        ready, wanted = counts(view, revision)
        if state == "Activating":
            return "busy", f"{revision.suffix} is starting: {ready} of {wanted} ready"
        if state in _BAD:
            why = revision.reason or next((r.reason for r in replicas if r.reason), "")
            return "bad", f"{revision.suffix} failed{f': {why}' if why else ''}"
        if state == "Degraded":
            return "bad", f"{revision.suffix} is degraded: {ready} of {wanted} ready"
    if app.problem:
        return "bad", app.problem
    if app_provisioning(app, list(view.revisions.values())) == "InProgress":
        return "busy", "a change is under way"
    return ("ok", "") if active else ("off", "no active revision")


def failing(app: str, rates: dict[tuple[str, str], Rate]) -> str:
    """A sentence about the revision with most failures now; empty when all is well."""
    bad = [
        (rate.errors, revision)
        for (of, revision), rate in rates.items()
        if of == app and revision and rate.errors >= _FAILING_SHARE
        and rate.per_s >= _FAILING_PER_S
    ]  # fmt: skip
    if not bad:
        return ""
    errors, revision = max(bad)
    return f"{_short(revision)}: {errors:.0%} of requests fail"


def _short(revision: str) -> str:
    return revision.partition("--")[2] or revision


def counts(view: AppView, revision: Revision) -> tuple[int, int]:
    """How many replicas are ready, and how many are wanted."""
    current = [r for r in view.of(revision.name) if not r.is_leaving]
    return sum(r.is_ready for r in current), max(revision.needed, len(current))


def page(
    view: AppView, domain: str, *, with_inactive: bool, quarantined: str = ""
) -> dict[str, Any]:
    """The console's page of an app, with its revisions, newest first."""
    app = view.app
    assert app is not None
    tone, what = _going_on(app, view)
    wire = app_wire(view, domain) | {"tone": tone, "goingOn": what}
    if quarantined:
        wire["quarantined"] = quarantined
    newest = sorted(view.revisions.values(), key=age_of)
    resting = [r for r in newest if not r.is_active]
    hidden = set() if with_inactive else {r.name for r in resting[_RESTING_SHOWN:]}
    shown = [r for r in newest if r.name not in hidden]
    has_hosts = app.configuration.ingress is not None
    return {
        "app": wire,
        "revisions": [_row(view, app, r, domain, has_hosts=has_hosts) for r in shown],
        "inactive": len(resting),
        "hidden": len(hidden),
    }


def _row(
    view: AppView, app: App, revision: Revision, domain: str, *, has_hosts: bool
) -> dict[str, Any]:
    wire = revision_wire(view, revision, domain)
    del wire["template"]  # it is long, and only the details page shows it
    ready, wanted = counts(view, revision)
    if has_hosts:
        wire["fqdn"] = revision_host(revision.name, domain)
        hosts = {label: label_host(app.name, label, domain) for label in wire["labels"]}
        wire["labelHosts"] = hosts
    state = wire.get("runningState") or ""
    wire |= {
        "suffix": revision.suffix,
        "images": [container.image for container in revision.template.containers],
        "ready": ready,
        "wanted": wanted if revision.is_active else 0,
        "tone": _TONES.get(state, "busy"),
        "failed": revision.provisioning is Provisioning.FAILED,
        "latest": revision.name == app.latest_ready,
    }
    if revision.is_active:
        replicas = view.of(revision.name)
        wire["replicaList"] = [replica_wire(r, revision.template) for r in replicas]
    return wire

"""Resources as the API shows them: ACA's `properties`, without the ARM envelope."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from control.model import traffic
from control.model.errors import NotFound
from control.model.kinds import LabelName
from control.model.records import Stint
from control.model.resources import AppView, Replica, ReplicaState, Revision
from control.model.states import app_provisioning, app_running, details, health_state, running_state
from control.model.template import Template
from control.rules.base_revision import base_of
from router.contract.hosts import app_host, revision_host

_MOST_REVISIONS = 10**12 - 1


def moment(seconds: float) -> str:
    """A time in RFC 3339 form, with its offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def name_of(view: AppView) -> str:
    """The key that orders lists of apps."""
    return view.app.name if view.app is not None else ""


def age_of(revision: Revision) -> str:
    """The key that orders lists of revisions, newest first."""
    return f"{_MOST_REVISIONS - revision.number:012}"


def app_wire(view: AppView, domain: str) -> dict[str, Any]:
    """An app."""
    app = view.app
    assert app is not None
    revisions = list(view.revisions.values())
    configuration = app.configuration.wire()
    if configuration["ingress"] is not None:
        configuration["ingress"]["fqdn"] = app_host(app.name, domain)
    wire: dict[str, Any] = {
        "name": app.name,
        "version": app.version,
        "createdTime": moment(app.created_at),
        "lastModifiedTime": moment(app.updated_at),
        "provisioningState": app_provisioning(app, revisions),
        "runningStatus": app_running(view),
        "latestRevisionName": app.latest,
        "latestReadyRevisionName": app.latest_ready,
    }
    if configuration["ingress"] is not None:
        wire["latestRevisionFqdn"] = revision_host(app.latest, domain)
    if app.tags:
        wire["tags"] = app.tags
    beside = {
        "resourceGroup": app.resource_group,
        "environment": app.environment,
        "location": app.location,
    }
    wire |= {key: value for key, value in beside.items() if value}
    if app.problem:
        wire["provisioningError"] = app.problem
    base = base_of(view)
    template = base.template if base is not None else app.template
    return wire | {"configuration": configuration, "template": template.wire()}


def revision_wire(view: AppView, revision: Revision, domain: str) -> dict[str, Any]:
    """A revision; an inactive one has no provisioning, running or health state."""
    app = view.app
    assert app is not None
    replicas = view.of(revision.name)
    share = traffic.shares(view).get(revision.name, traffic.Share())
    wire: dict[str, Any] = {
        "name": revision.name,
        "uid": revision.uid,
        "createdTime": moment(revision.created_at),
        "active": revision.is_active,
        "replicas": sum(not r.is_leaving for r in replicas),
        "restarts": sum(r.restarts_ever for r in replicas if not r.is_leaving),
        "trafficWeight": share.weight,
        "labels": list(share.labels),
    }
    if revision.last_active_at:
        wire["lastActiveTime"] = moment(revision.last_active_at)
    if app.configuration.ingress is not None:
        wire["fqdn"] = revision_host(revision.name, domain)
    if revision.is_active:
        wire |= {
            "provisioningState": revision.provisioning.value,
            "runningState": running_state(app, revision, replicas),
            "runningStateDetails": details(revision, replicas),
            "healthState": health_state(app, revision, replicas),
        }
    if fault := app.faults.get(revision.name):
        wire["fault"] = {
            "delayMs": fault["delay_ms"],
            "delayPercent": fault["delay_percent"],
            "abortStatus": fault["abort_status"],
            "abortPercent": fault["abort_percent"],
            "until": moment(fault["until"]),
        }
    # also for an inactive revision: an update that failed and was undone says why
    if revision.reason:
        wire["provisioningError"] = f"{revision.reason}: {revision.message}"
    return wire | {"template": revision.template.wire()}


def history_wire(view: AppView, label: LabelName) -> list[dict[str, Any]]:
    """A label's history, newest first; `stop` is absent while it still applies."""
    assert view.app is not None
    stints = view.app.label_history.get(label)
    if stints is None:
        raise NotFound(f"app {view.app.name} has no history of a label {label}")
    return [_stint_wire(stint) for stint in reversed(stints)]


def _stint_wire(stint: Stint) -> dict[str, Any]:
    shown = {"revision": stint["revision"], "start": moment(stint["start"])}
    shown["status"] = stint["status"]
    return shown | ({"stop": moment(stint["stop"])} if "stop" in stint else {})


_WAITING = (ReplicaState.PENDING, ReplicaState.RESTARTING, ReplicaState.BACKOFF)


def replica_wire(replica: Replica, template: Template) -> dict[str, Any]:
    """A replica with its containers, which begin and end together."""
    is_running = replica.state not in _WAITING
    wire: dict[str, Any] = {
        "name": replica.name,
        "createdTime": moment(replica.created_at),
        "runningState": "Running" if is_running else "NotRunning",
        "runningStateDetails": replica.message,
        "state": replica.state.value,
        "address": replica.address,
        "node": replica.node,
        "initContainers": [{"name": c.name} for c in template.init_containers],
        "containers": [_container(replica, c.name, is_running) for c in template.containers],
    }
    if replica.last_failed_at:
        wire["lastFailure"] = {
            "time": moment(replica.last_failed_at),
            "reason": replica.last_reason,
            "message": replica.last_message,
        }
    return wire


def _container(replica: Replica, name: str, is_running: bool) -> dict[str, Any]:
    wire = {
        "name": name,
        "ready": replica.is_ready,
        "started": is_running and replica.state is not ReplicaState.STARTING,
        "restartCount": replica.restarts_ever,
        "runningState": "Running" if is_running else "Waiting",
    }
    if replica.reason:
        wire["runningStateDetails"] = f"Container is waiting with reason: {replica.reason}"
    if replica.exit_code is not None and replica.exited in ("", name):
        wire["exitCode"] = replica.exit_code
    return wire

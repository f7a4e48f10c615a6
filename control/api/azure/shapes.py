"""ARM's envelopes around our resources. Pure."""

from __future__ import annotations

from typing import Any

from control.api.azure.locations import LOCATIONS
from control.api.wire.representation import (
    app_wire,
    history_wire,
    moment,
    replica_wire,
    revision_wire,
)
from control.changes.places import Environment, Group, Places
from control.changes.workspaces import Workspace
from control.model.kinds import LabelName
from control.model.resources import App, AppView, Replica, Revision

PROVIDER = "/providers/Microsoft.App"
_CONSUMPTION = "Consumption"
# Shown even if unset: az reads some of these without a check (azure-wire §3). Not `dapr`: az's
# `dapr disable` fails on a null and creates it if absent.
_UNSET: dict[str, Any] = {"registries": [], "identitySettings": []}
_UNSET_INGRESS = dict.fromkeys(
    ["additionalPortMappings", "clientCertificateMode", "corsPolicy", "ipSecurityRestrictions",
     "stickySessions"]
) | {"exposedPort": 0}  # fmt: skip


class ResourceIds:
    """How ids and URLs begin, for the subscription and the origin that the client used."""

    def __init__(self, subscription: str, origin: str, places: Places) -> None:
        self.subscription = subscription
        self.origin = origin  # scheme and host by which the client reaches us
        self.places = places

    def group_id(self, group: str) -> str:
        """The id of the resource group of that name."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}"

    def app_id(self, app: App) -> str:
        group = self.places.group_of(app)
        return f"{self.group_id(group.name)}{PROVIDER}/containerApps/{app.name}"

    def environment_id(self, environment: Environment) -> str:
        group = self.places.group(environment.group)
        return f"{self.group_id(group.name)}{PROVIDER}/managedEnvironments/{environment.name}"

    def log_url(self, app: App) -> str:
        """Where an app's logs are: outside the provider, since az splits the URL at
        /subscriptions/.
        """
        group = self.places.group_of(app)
        return f"{self.origin}{self.group_id(group.name)}/containerApps/{app.name}"


def app_resource(view: AppView, domain: str, ids: ResourceIds) -> dict[str, Any]:
    """An app as ARM shows it."""
    app = view.app
    assert app is not None
    wire, environment = app_wire(view, domain), ids.places.environment_of(app)
    configuration, environment_id = wire["configuration"], ids.environment_id(environment)
    configuration = _UNSET | configuration
    if (ingress := configuration["ingress"]) is not None:
        transport = ingress["transport"].capitalize()
        configuration["ingress"] = _UNSET_INGRESS | ingress | {"transport": transport}
    properties = {
        "provisioningState": wire["provisioningState"],
        "runningStatus": wire["runningStatus"],
        "managedEnvironmentId": environment_id,
        "environmentId": environment_id,
        "workloadProfileName": _CONSUMPTION,
        "latestRevisionName": wire["latestRevisionName"],
        "latestReadyRevisionName": wire["latestReadyRevisionName"],
        "latestRevisionFqdn": wire.get("latestRevisionFqdn", ""),
        "eventStreamEndpoint": f"{ids.log_url(app)}/eventstream",
        "configuration": configuration,
        "template": wire["template"],
    }
    return {
        "id": ids.app_id(app),
        "name": app.name,
        "type": "Microsoft.App/containerApps",
        "location": app.location or environment.location,
        "tags": app.tags,
        "identity": {"type": "None"},
        "systemData": {
            "createdAt": moment(app.created_at),
            "lastModifiedAt": moment(app.updated_at),
        },
        "properties": properties,
    }


def revision_resource(
    view: AppView, revision: Revision, domain: str, ids: ResourceIds
) -> dict[str, Any]:
    """A revision as ARM shows it."""
    assert view.app is not None
    wire = revision_wire(view, revision, domain)
    name = wire.pop("name")
    # az prints these as a table, and fails when one is absent.
    defaults = {"healthState": "None", "provisioningState": "Deprovisioned"}
    return {
        "id": f"{ids.app_id(view.app)}/revisions/{name}",
        "name": name,
        "type": "Microsoft.App/containerApps/revisions",
        "properties": defaults | wire,
    }


def replica_resource(
    view: AppView, revision: Revision, replica: Replica, ids: ResourceIds
) -> dict[str, Any]:
    """A replica as ARM shows it."""
    assert view.app is not None
    wire = replica_wire(replica, revision.template)
    base = f"{ids.log_url(view.app)}/revisions/{revision.name}/replicas/{replica.name}"
    containers, inits = (
        [_container(c, f"{base}/containers/{c['name']}") for c in wire[kind]]
        for kind in ("containers", "initContainers")
    )
    return {
        "id": f"{ids.app_id(view.app)}/revisions/{revision.name}/replicas/{replica.name}",
        "name": replica.name,
        "type": "Microsoft.App/containerApps/revisions/replicas",
        "properties": {
            "createdTime": wire["createdTime"],
            "runningState": wire["runningState"],
            "runningStateDetails": wire["runningStateDetails"],
            "initContainers": inits,
            "containers": containers,
        },
    }


def _container(wire: dict[str, Any], url: str) -> dict[str, Any]:
    return wire | {"logStreamEndpoint": f"{url}/logstream", "execEndpoint": f"{url}/exec"}


def label_history_resource(view: AppView, label: LabelName, ids: ResourceIds) -> dict[str, Any]:
    """The history of one label as ARM shows it."""
    assert view.app is not None
    return {
        "id": f"{ids.app_id(view.app)}/labelHistories/{label}",
        "name": label,
        "type": "Microsoft.App/containerApps/labelHistories",
        "properties": {"records": history_wire(view, label)},
    }


def environment_resource(environment: Environment, domain: str, ids: ResourceIds) -> dict[str, Any]:
    """An environment as ARM shows it, with the settings in force, whatever was asked for."""
    profile = {"name": _CONSUMPTION, "workloadProfileType": _CONSUMPTION}
    return {
        "id": ids.environment_id(environment),
        "name": environment.name,
        "type": "Microsoft.App/managedEnvironments",
        "location": environment.location,
        "tags": environment.tags,
        "properties": {
            "provisioningState": "Succeeded",
            "defaultDomain": domain,
            "staticIp": "127.0.0.1",
            "vnetConfiguration": None,
            "appLogsConfiguration": _logs(environment),
            "zoneRedundant": False,
            "peerAuthentication": {"mtls": {"enabled": False}},
            "peerTrafficConfiguration": {"encryption": {"enabled": False}},
            "publicNetworkAccess": "Enabled",
            "eventStreamEndpoint": f"{ids.origin}{ids.environment_id(environment)}/eventstream",
            "workloadProfiles": [profile],
        },
    }


def _logs(environment: Environment) -> dict[str, Any] | None:
    """The logs configuration; az needs the object even when there is no destination."""
    if not environment.workspace:
        return None
    workspace = {"customerId": environment.workspace, "sharedKey": None}
    return {"destination": "log-analytics", "logAnalyticsConfiguration": workspace}


def provider_resource(namespace: str, *kinds: str) -> dict[str, Any]:
    """A resource provider, which az asks for before anything else."""
    return {
        "namespace": namespace,
        "registrationState": "Registered",
        "resourceTypes": [
            {"resourceType": kind, "locations": [*LOCATIONS], "apiVersions": ["2025-07-01"]}
            for kind in kinds
        ],
    }


def group_resource(group: Group, ids: ResourceIds) -> dict[str, Any]:
    """A resource group."""
    return {
        "id": ids.group_id(group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    }


def workspace_resource(workspace: Workspace, ids: ResourceIds) -> dict[str, Any]:
    """A Log Analytics workspace."""
    group = ids.group_id(ids.places.group(workspace.group).name)
    return {
        "id": f"{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace.name}",
        "name": workspace.name,
        "type": "Microsoft.OperationalInsights/workspaces",
        "location": workspace.location,
        "tags": workspace.tags,
        "properties": {
            "provisioningState": "Succeeded",
            "customerId": workspace.customer_id,
            "sku": {"name": "PerGB2018"},
            "retentionInDays": 30,
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
        },
    }

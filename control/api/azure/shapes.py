"""ARM's envelopes around our resources, and what of an ARM body we act upon (arm-wire §3, §4).

Pure. Clients send back what they were shown, read-only fields and empty defaults included; both
are dropped here. What is left and not known is refused by name, like everywhere.
"""

from __future__ import annotations

from typing import Any

from control.api.wire import app_wire, history_wire, moment, replica_wire, revision_wire
from control.errors import Detail, Invalid, all_of
from control.resources import App, AppView, Replica, Revision

LOCATION = "local"
PROVIDER = "/providers/Microsoft.App"

# Shown by GET and ignored in a body (contract §10), with the keys of later API versions that the
# contract says to ignore.
_PROPERTIES = frozenset(
    [
        "provisioningState",
        "runningStatus",
        "deploymentErrors",
        "managedEnvironmentId",
        "environmentId",
        "workloadProfileName",
        "outboundIpAddresses",
        "customDomainVerificationId",
        "latestRevisionName",
        "latestReadyRevisionName",
        "latestRevisionFqdn",
        "eventStreamEndpoint",
        "patchingConfiguration",
    ]
)
_CONFIGURATION = frozenset({"identitySettings"})
_INGRESS = frozenset({"fqdn", "targetPortHttpScheme"})
_CONTAINER = frozenset({"imageType"})
# Accepted because they ask for what is done anyway: HTTP/1.1, and no redirect to TLS.
_TRANSPORTS = ("auto", "http")


class Place:
    """Where a resource stands: the start of its id, as the client wrote it."""

    def __init__(self, subscription: str, group: str, environment: str, origin: str) -> None:
        self.subscription = subscription
        self.group = group
        self.environment = environment
        self.origin = origin  # scheme and host that the client reaches us by

    @property
    def group_id(self) -> str:
        """The id of the resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def of(self, app: App) -> Place:
        """Where an app stands: in the group it was made in, else in the one that was asked."""
        return self.in_group(app.resource_group or self.group)

    def in_group(self, group: str) -> Place:
        """The same in another resource group."""
        return Place(self.subscription, group, self.environment, self.origin)

    def app_id(self, name: str) -> str:
        """The id of an app."""
        return f"{self.group_id}{PROVIDER}/containerApps/{name}"

    def log_url(self, app: str) -> str:
        """Where an app's logs are; not under the provider, and az splits it at /subscriptions/."""
        return f"{self.origin}{self.group_id}/containerApps/{app}"

    @property
    def environment_id(self) -> str:
        """The id of the one environment."""
        return f"{self.group_id}{PROVIDER}/managedEnvironments/{self.environment}"


def app_resource(view: AppView, domain: str, place: Place) -> dict[str, Any]:
    """An app as ARM shows it."""
    app = view.app
    assert app is not None
    place, wire = place.of(app), app_wire(view, domain)
    configuration = wire["configuration"]
    if configuration["ingress"] is not None:
        configuration["ingress"] |= {"transport": "Auto", "exposedPort": 0, "allowInsecure": True}
    properties = {
        "provisioningState": wire["provisioningState"],
        "runningStatus": wire["runningStatus"],
        "managedEnvironmentId": place.environment_id,
        "environmentId": place.environment_id,
        "latestRevisionName": wire["latestRevisionName"],
        "latestReadyRevisionName": wire["latestReadyRevisionName"],
        "latestRevisionFqdn": wire.get("latestRevisionFqdn", ""),
        "eventStreamEndpoint": f"{place.log_url(app.name)}/eventstream",
        "configuration": configuration,
        "template": wire["template"],
    }
    return {
        "id": place.app_id(app.name),
        "name": app.name,
        "type": "Microsoft.App/containerApps",
        "location": app.location or LOCATION,
        "tags": app.tags,
        "systemData": {
            "createdAt": moment(app.created_at),
            "lastModifiedAt": moment(app.updated_at),
        },
        "properties": properties,
    }


def revision_resource(
    view: AppView, revision: Revision, domain: str, place: Place
) -> dict[str, Any]:
    """A revision as ARM shows it."""
    assert view.app is not None
    place, wire = place.of(view.app), revision_wire(view, revision, domain)
    name = wire.pop("name")
    # az prints a table of these and dies when one is absent.
    defaults = {"healthState": "None", "provisioningState": "Deprovisioned"}
    return {
        "id": f"{place.app_id(view.app.name)}/revisions/{name}",
        "name": name,
        "type": "Microsoft.App/containerApps/revisions",
        "properties": defaults | wire,
    }


def replica_resource(
    view: AppView, revision: Revision, replica: Replica, place: Place
) -> dict[str, Any]:
    """A replica as ARM shows it."""
    assert view.app is not None
    place, wire = place.of(view.app), replica_wire(replica, revision.template)
    base = f"{place.log_url(view.app.name)}/revisions/{revision.name}/replicas/{replica.name}"
    containers, inits = (
        [c | {"logStreamEndpoint": f"{base}/containers/{c['name']}/logstream"} for c in wire[kind]]
        for kind in ("containers", "initContainers")
    )
    return {
        "id": f"{place.app_id(view.app.name)}/revisions/{revision.name}/replicas/{replica.name}",
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


def label_history_resource(view: AppView, label: str, place: Place) -> dict[str, Any]:
    """The history of one label as ARM shows it."""
    assert view.app is not None
    place = place.of(view.app)
    return {
        "id": f"{place.app_id(view.app.name)}/labelHistories/{label}",
        "name": label,
        "type": "Microsoft.App/containerApps/labelHistories",
        "properties": {"records": history_wire(view, label)},
    }


def environment_resource(domain: str, place: Place) -> dict[str, Any]:
    """The environment."""
    profile = {"name": "Consumption", "workloadProfileType": "Consumption"}
    return {
        "id": place.environment_id,
        "name": place.environment,
        "type": "Microsoft.App/managedEnvironments",
        "location": LOCATION,
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "defaultDomain": domain,
            "staticIp": "127.0.0.1",
            "vnetConfiguration": None,
            "appLogsConfiguration": None,
            "eventStreamEndpoint": f"{place.origin}{place.environment_id}/eventstream",
            "workloadProfiles": [profile],
        },
    }


def provider_resource() -> dict[str, Any]:
    """The resource provider, which az asks before everything else."""
    kinds = ("containerApps", "managedEnvironments")
    return {
        "namespace": "Microsoft.App",
        "registrationState": "Registered",
        "resourceTypes": [
            {"resourceType": kind, "locations": [LOCATION], "apiVersions": ["2025-07-01"]}
            for kind in kinds
        ],
    }


def group_resource(place: Place) -> dict[str, Any]:
    """A resource group; they are accepted as they come."""
    return {
        "id": place.group_id,
        "name": place.group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": LOCATION,
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }


# --- bodies


def properties_of(body: Any) -> dict[str, Any]:
    """The `properties` of an ARM body. Raises Invalid."""
    properties = body.get("properties") if isinstance(body, dict) else None
    if properties is None and isinstance(body, dict):
        return {}
    if not isinstance(properties, dict):
        raise all_of([Detail("InvalidRequestContent", "properties is no object")], "the request")
    return properties


def writable(properties: dict[str, Any]) -> dict[str, Any]:
    """What of an app's properties is ours to act upon. Raises Invalid."""
    kept = _without(properties, _PROPERTIES)
    configuration = kept.get("configuration")
    if isinstance(configuration, dict):
        configuration = _without(configuration, _CONFIGURATION)
        for name in ("secrets", "registries"):
            if isinstance(configuration.get(name), list):
                configuration[name] = [_filled(item) for item in configuration[name]]
        if isinstance(configuration.get("ingress"), dict):
            configuration["ingress"] = _ingress(configuration["ingress"])
        kept["configuration"] = configuration
    template = kept.get("template")
    if isinstance(template, dict):
        containers = template.get("containers")
        if isinstance(containers, list):
            template["containers"] = [
                _without(c, _CONTAINER) if isinstance(c, dict) else c for c in containers
            ]
    return kept


def internal_by_default(properties: dict[str, Any]) -> dict[str, Any]:
    """With `external: false` where an ingress does not say: ACA's default (product.md §2)."""
    configuration = properties.get("configuration")
    ingress = configuration.get("ingress") if isinstance(configuration, dict) else None
    if not isinstance(configuration, dict) or not isinstance(ingress, dict):
        return properties
    ingress = {"external": False, **ingress}
    return {**properties, "configuration": {**configuration, "ingress": ingress}}


def _filled(item: Any) -> Any:
    """az writes "" for what was not given: keyVaultUrl, identity. A value may well be empty."""
    if not isinstance(item, dict):
        return item
    return {k: v for k, v in item.items() if v != "" or k == "value"}


def _ingress(ingress: dict[str, Any]) -> dict[str, Any]:
    kept = _without(ingress, _INGRESS)
    transport = kept.pop("transport", "auto")
    if str(transport).lower() not in _TRANSPORTS:
        raise Invalid(f"configuration.ingress.transport: {transport!r} is not served; use auto")
    kept.pop("allowInsecure", None)  # plain HTTP is what this ingress speaks
    if not kept.get("exposedPort"):
        kept.pop("exposedPort", None)
    if kept.get("targetPort") == 0:
        kept.pop("targetPort")
    if isinstance(kept.get("traffic"), list):
        kept["traffic"] = _merged([_rule(rule) for rule in kept["traffic"]])
    sticky = kept.get("stickySessions")
    if isinstance(sticky, dict) and str(sticky.get("affinity", "none")).lower() == "none":
        del kept["stickySessions"]
    return kept


def _merged(rules: list[Any]) -> list[Any]:
    """`label add` of az may append a rule of weight 0 for a revision that has one (§6)."""
    kept: list[Any] = []
    for rule in rules:
        if not isinstance(rule, dict):  # validation will say so
            return rules
        name = rule.get("revisionName")
        first = next((k for k in kept if name and k.get("revisionName") == name), None)
        if first is not None and rule.get("label") and str(rule.get("weight", 0)) == "0":
            first["label"] = rule["label"]
        else:
            kept.append(rule)
    return kept


def _rule(rule: Any) -> Any:
    """A traffic entry without the false and the nulls that az adds (arm-wire §4)."""
    if not isinstance(rule, dict):
        return rule
    return {k: v for k, v in rule.items() if v is not None and (k, v) != ("latestRevision", False)}


def _without(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Without the read-only names, and without what says nothing: null and empty lists."""
    return {k: _pruned(v) for k, v in value.items() if k not in names and v is not None and v != []}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _pruned(v) for k, v in value.items() if v is not None and v != []}
    if isinstance(value, list):
        return [_pruned(v) for v in value]
    return value

"""Which parts of an ARM body are acted on. Pure.

Clients send back what they were shown, with read-only fields and empty defaults; both are dropped
here. The rest is acted on, or refused with its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import Field

from control.model.errors import Detail, Invalid, all_of
from control.model.kinds import Model

# Shown by GET and ignored in a body, with the keys of later API versions that
# change nothing here (azure-wire §5).
_PROPERTIES = frozenset(
    [
        "provisioningState",
        "runningStatus",
        "deploymentErrors",
        "managedEnvironmentId",  # read by `environment_of`
        "environmentId",
        "workloadProfileName",  # read by `check_app`
        "outboundIpAddresses",
        "customDomainVerificationId",
        "latestRevisionName",
        "latestReadyRevisionName",
        "latestRevisionFqdn",
        "eventStreamEndpoint",
        "patchingConfiguration",
    ]
)
_INGRESS = frozenset({"fqdn", "targetPortHttpScheme"})
_CONTAINER = frozenset({"imageType"})
_ENVELOPE = frozenset(
    ["id", "name", "type", "systemData", "etag", "resourceGroup", "location", "tags", "properties"]
)
_TRANSPORTS = ("auto", "http")
_REFUSED = "the request was not accepted"
_CONSUMPTION = "consumption"

_LOGS = "properties.applogsconfiguration"
_LOG_ID = f"{_LOGS}.loganalyticsconfiguration.customerid"
# the key gives access to nothing, so it is not kept
_LOG_KEY = f"{_LOGS}.loganalyticsconfiguration.sharedkey"

# What every environment has anyway: az and terraform spell these out. Anything else is refused.
_ENVIRONMENT: dict[str, tuple[str, ...]] = {
    f"{_LOGS}.destination": ("none", "log-analytics"),
    "properties.peerauthentication.mtls.enabled": ("false",),
    "properties.peertrafficconfiguration.encryption.enabled": ("false",),
    "properties.publicnetworkaccess": ("enabled",),
    "properties.vnetconfiguration.internal": ("false",),
    "properties.workloadprofiles[].name": (_CONSUMPTION,),
    "properties.workloadprofiles[].workloadprofiletype": (_CONSUMPTION,),
    "properties.zoneredundant": ("false",),
}
_ENVIRONMENT_SHOWN = (
    "provisioningState", "deploymentErrors", "defaultDomain", "staticIp", "eventStreamEndpoint",
    "kedaConfiguration", "daprConfiguration", "privateEndpointConnections",
    "privateLinkDefaultDomain",
)  # fmt: skip


_WORKSPACE: dict[str, tuple[str, ...]] = {
    "properties.retentionindays": ("30",),
    "properties.sku.name": ("pergb2018",),
    "properties.publicnetworkaccessforingestion": ("enabled",),
    "properties.publicnetworkaccessforquery": ("enabled",),
}
_WORKSPACE_SHOWN = ("provisioningState", "customerId", "createdDate", "modifiedDate")


class Beside(Model):
    """What stands beside `properties` in every tracked resource."""

    location: Annotated[str, Field(max_length=90)] | None = None
    tags: Annotated[dict[str, str], Field(max_length=50)] | None = None


def properties_of(body: Any) -> dict[str, Any]:
    """The `properties` of an ARM body. Raises Invalid."""
    properties = body.get("properties") if isinstance(body, dict) else None
    if properties is None and isinstance(body, dict):
        return {}
    if not isinstance(properties, dict):
        raise all_of(
            [Detail("InvalidRequestContent", "properties is not an object")], "the request"
        )
    return properties


def check_group(body: Any) -> None:
    """Raise Invalid for properties that a resource group does not have."""
    shown = _without(properties_of(body), frozenset({"provisioningState"}))
    _refuse([*_unknown(body), *_leaves(shown, "properties")])


def check_environment(body: Any) -> None:
    """Raise Invalid for properties that an environment cannot have here."""
    wanted = _without(properties_of(body), frozenset(_ENVIRONMENT_SHOWN))
    _refuse([*_unknown(body), *_unlike(wanted, _ENVIRONMENT, (_LOG_ID, _LOG_KEY))])


def check_workspace(body: Any) -> None:
    """Raise Invalid for properties that a Log Analytics workspace cannot have here."""
    wanted = _without(properties_of(body), frozenset(_WORKSPACE_SHOWN))
    _refuse([*_unknown(body), *_unlike(wanted, _WORKSPACE)])


def _unlike(
    properties: dict[str, Any], offered: dict[str, tuple[str, ...]], any_value: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    for path, value in _leaves(properties, "properties"):
        lower = path.lower()
        if lower not in any_value and str(value).lower() not in offered.get(lower, ()):
            yield path, value


def workspace_of(body: Any, ids: Iterable[str]) -> str | None:
    """The id of the workspace that an environment's body names for its logs, one of `ids`.

    Empty if it asks for no logs, None if it does not mention them. Raises Invalid.
    """
    properties = properties_of(body)
    logs = properties.get("appLogsConfiguration", {"says": "nothing"}) or {}
    destination = str(logs.get("destination") or "none").lower()
    named = (logs.get("logAnalyticsConfiguration") or {}).get("customerId")
    if named is None and destination == "none":
        return "" if not logs or "destination" in logs else None
    if destination == "log-analytics" and str(named).lower() in ids:
        return str(named).lower()
    path = "properties.appLogsConfiguration.logAnalyticsConfiguration.customerId"
    message = (
        f"{path}: {named!r} is not the id of a workspace that was made here, and logs are sent "
        "nowhere else; use az containerapp env create --logs-destination none"
    )
    raise all_of([Detail("InvalidParameterValue", message, path)], _REFUSED)


def check_app(body: Any) -> None:
    """Raise Invalid for parts of an app's body beside its configuration that are not offered."""
    profile = properties_of(body).get("workloadProfileName")
    is_none = profile is None or str(profile).lower() == _CONSUMPTION
    identity = body.get("identity")
    leaves = (
        [("identity", identity)] if isinstance(identity, str) else _leaves(identity, "identity")
    )
    _refuse(
        [
            *_unknown(body, "identity"),
            *([] if is_none else [("properties.workloadProfileName", profile)]),
            *(found for found in leaves if (found[0], str(found[1]).lower()) != _NO_IDENTITY),
        ]
    )


_NO_IDENTITY = ("identity.type", "none")


def _unknown(body: dict[str, Any], *known: str) -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        if key not in _ENVELOPE and key not in known:
            yield from _leaves(value, key)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with its path; null and empty values are left out because they say nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    elif value is not None and value != "":
        yield path, value


def _refuse(found: list[tuple[str, Any]]) -> None:
    details = [
        Detail(
            "InvalidParameterValue",
            f"{path}: {str(value)[:80]!r} is not offered here; leave it out",
            path,
        )
        for path, value in found
    ]
    if details:
        raise all_of(details, _REFUSED)


def environment_of(properties: dict[str, Any]) -> str | None:
    """GROUP/NAME of the environment that an app's body names. Raises Invalid."""
    given = properties.get("environmentId") or properties.get("managedEnvironmentId")
    if given is None:
        return None
    parts = [part for part in str(given).split("/") if part]
    marks = [part.lower() for part in parts[::2]]
    if marks != ["subscriptions", "resourcegroups", "providers", "managedenvironments"]:
        message = f"properties.environmentId: {given!r} is not the id of an environment"
        detail = Detail("InvalidParameterValue", message, "properties.environmentId")
        raise all_of([detail], _REFUSED)
    return f"{parts[3]}/{parts[7]}"


def writable(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties of an app that turnout acts on. Raises Invalid."""
    kept = _without(properties, _PROPERTIES)
    configuration = kept.get("configuration")
    if isinstance(configuration, dict):
        configuration = _without(configuration, frozenset())
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


def with_azures_defaults(properties: dict[str, Any]) -> dict[str, Any]:
    """Azure's ingress defaults, unlike the native API's: internal, and without plain HTTP."""
    configuration = properties.get("configuration")
    ingress = configuration.get("ingress") if isinstance(configuration, dict) else None
    if isinstance(ingress, dict):
        ingress.setdefault("external", False)
        ingress.setdefault("allowInsecure", False)
    return properties


def _filled(item: Any) -> Any:
    """The item without the empty strings that az writes for keyVaultUrl and identity.

    A secret's value may be empty.
    """
    if not isinstance(item, dict):
        return item
    return {k: v for k, v in item.items() if v != "" or k == "value"}


def _ingress(ingress: dict[str, Any]) -> dict[str, Any]:
    kept = _without(ingress, _INGRESS)
    transport = kept.get("transport", "auto")
    if str(transport).lower() not in _TRANSPORTS:
        raise Invalid(f"configuration.ingress.transport: {transport!r} is not served; use auto")
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
    """Rules with those merged that `az … label add` appends with weight 0 for a revision."""
    kept: list[Any] = []
    for rule in rules:
        if not isinstance(rule, dict):  # validation reports it
            return rules
        name = rule.get("revisionName")
        first = next((k for k in kept if name and k.get("revisionName") == name), None)
        if first is not None and rule.get("label") and str(rule.get("weight", 0)) == "0":
            first["label"] = rule["label"]
        else:
            kept.append(rule)
    return kept


def _rule(rule: Any) -> Any:
    """A traffic entry without the false and null values that az adds."""
    if not isinstance(rule, dict):
        return rule
    return {k: v for k, v in rule.items() if v is not None and (k, v) != ("latestRevision", False)}


def _without(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The object without read-only names, and without null and empty lists, which say nothing."""
    return {k: _pruned(v) for k, v in value.items() if k not in names and v is not None and v != []}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _pruned(v) for k, v in value.items() if v is not None and v != []}
    if isinstance(value, list):
        return [_pruned(v) for v in value]
    return value

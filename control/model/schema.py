"""The shapes of ACA's `properties.configuration`: app scope.

Input is validated here, every wrong field at once; what rules mean together is `traffic.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from control.model.kinds import NO_LABEL, LabelName, Many, Model, RevisionName, lower, shaped
from control.model.template import SecretName, Template


def _weight(value: Any) -> Any:
    """Integers, and decimal strings: `az … traffic set` sends "80"."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a weight is a whole number from 0 to 100")
    return value


class TrafficRule(Model):
    """One entry of `ingress.traffic`: exactly one of revisionName and latestRevision."""

    revision_name: Annotated[RevisionName | None, BeforeValidator(lower)] = None
    latest_revision: bool | None = None
    weight: Annotated[int, BeforeValidator(_weight), Field(ge=0, le=100)] = 0
    label: LabelName | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> TrafficRule:
        if bool(self.revision_name) == bool(self.latest_revision):
            raise ValueError("give either revisionName or latestRevision: true")
        return self

    def wire(self) -> dict[str, Any]:
        """az looks a key up before its value: what is unset must be absent (azure-wire §3)."""
        out: dict[str, Any] = {"weight": self.weight}
        if self.latest_revision:
            out["latestRevision"] = True
        else:
            out["revisionName"] = self.revision_name
        if self.label:
            out["label"] = self.label
        return out


DEFAULT_TRAFFIC = (TrafficRule(latest_revision=True, weight=100),)


class CustomDomain(Model):
    """A host name of the user's that leads to the app."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    # Azure's word for whether its ingress has a certificate for the name.
    binding_type: Annotated[Literal["disabled"] | None, BeforeValidator(lower)] = None

    def wire(self) -> dict[str, Any]:
        """Azure capitalises the binding."""
        wire = super().wire()
        return wire | ({"bindingType": "Disabled"} if self.binding_type else {})


class Ingress(Model):
    """How requests reach the app; without it, it has no host."""

    external: bool = True
    # Where containers listen, which cannot be guessed; other replicas have addresses of their own.
    target_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    transport: Annotated[Literal["auto", "http"], BeforeValidator(lower)] = "auto"
    # false redirects to TLS in Azure; without TLS on the ingress there is nowhere to redirect to.
    allow_insecure: bool = True
    client_certificate_mode: Annotated[Literal["ignore"] | None, BeforeValidator(lower)] = None
    traffic: Many[TrafficRule] = ()
    custom_domains: Many[CustomDomain] = ()

    def wire(self) -> dict[str, Any]:
        """`traffic` is always a list while ingress is on."""
        domains = [domain.wire() for domain in self.custom_domains]
        return super().wire() | {"traffic": self.wire_rules, "customDomains": domains}

    @property
    def port(self) -> int:
        """The target port; 80 where none is needed."""
        return self.target_port or 80

    @property
    def wire_rules(self) -> list[dict[str, Any]]:
        """The rules as GET shows them."""
        return [rule.wire() for rule in self.traffic or DEFAULT_TRAFFIC]


class Secret(Model):
    """A named value of the app's, for env and registries; no answer but listSecrets shows it."""

    name: SecretName
    value: Annotated[str | None, Field(repr=False)] = None  # None in a body: keep what is stored


class Registry(Model):
    """How to sign in to a registry that images are pulled from."""

    server: Annotated[str, shaped(r"^[^\s/]+(/[^\s]*)?\z", "a host such as registry.example.com")]
    username: Annotated[str, Field(min_length=1)]
    password_secret_ref: SecretName


class Dapr(Model):
    """Dapr is not offered; clients spell out that it is off."""

    enabled: Literal[False]


Label = Annotated[LabelName, BeforeValidator(lambda v: "" if v is None else lower(v))]
Mode = Literal["single", "multiple", "labels"]
Strategy = Literal["switch", "recreate"]


class Configuration(Model):
    """Application scope: a change makes no revision and reaches all of them at once."""

    active_revisions_mode: Annotated[Mode, BeforeValidator(lower)] = "single"
    max_inactive_revisions: Annotated[int, Field(ge=0, le=100)] = 100
    # Percent of the replicas that a new revision needs which must be ready.
    revision_transition_threshold: Annotated[int, Field(ge=1, le=100)] = 100
    # recreate: single mode ends the old revision before it starts the new one, for programs that
    # must never run twice; there is a gap.
    update_strategy: Annotated[Strategy, BeforeValidator(lower)] = "switch"
    secrets: Many[Secret] = ()
    registries: Many[Registry] = ()
    # Labels mode: whom this write's new revision is for; acted upon, and not kept.
    target_label: Label = NO_LABEL
    ingress: Ingress | None = None
    dapr: Dapr | None = None

    def wire(self) -> dict[str, Any]:
        """Mode capitalised in answers; `ingress` present, null when off."""
        wire: dict[str, Any] = {
            "activeRevisionsMode": self.active_revisions_mode.capitalize(),
            "maxInactiveRevisions": self.max_inactive_revisions,
            "revisionTransitionThreshold": self.revision_transition_threshold,
            "updateStrategy": self.update_strategy,
        }
        if self.secrets:
            wire["secrets"] = [{"name": secret.name} for secret in self.secrets]
        if self.registries:
            wire["registries"] = [registry.wire() for registry in self.registries]
        if self.dapr is not None:
            wire["dapr"] = self.dapr.wire()
        return wire | {"ingress": self.ingress.wire() if self.ingress is not None else None}

    @property
    def secret_values(self) -> dict[str, str]:
        """The values by name."""
        return {secret.name: secret.value or "" for secret in self.secrets}


class AppProperties(Model):
    """The two halves of an app: what all revisions share, and what the next one freezes."""

    configuration: Configuration = Configuration()
    template: Template


class AppBody(AppProperties):
    """What creates or replaces an app. What is None is not what it is about, and stays."""

    tags: dict[str, str] | None = None
    resource_group: str | None = None  # a group that exists
    environment: str | None = None  # GROUP/NAME of an environment that exists
    location: str | None = None

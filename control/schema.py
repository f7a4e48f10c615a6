"""The shapes of ACA's `properties.configuration` and `properties.template` (contract §1, §6-§8).

Input is validated here, every wrong field at once; what the values mean together is `rules.py`.
Unknown keys are refused by name, because a mistyped key that is ignored is a silent failure.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """camelCase on the wire, frozen, no unknown keys."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def wire(self) -> dict[str, Any]:
        """As JSON-ready values; unset optional fields are left out, as az expects (arm-wire §3)."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _weight(value: Any) -> Any:
    """Integers, and decimal strings: `az … traffic set` sends "80" (contract §6 rule 2)."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a weight is a whole number from 0 to 100")
    return value


def _none_to_list(value: Any) -> Any:
    return [] if value is None else value


class TrafficRule(Model):
    """One entry of `ingress.traffic`: exactly one of revisionName and latestRevision."""

    revision_name: str | None = None
    latest_revision: bool | None = None
    weight: Annotated[int, BeforeValidator(_weight), Field(ge=0, le=100)] = 0
    label: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> TrafficRule:
        if bool(self.revision_name) == bool(self.latest_revision):
            raise ValueError("give either revisionName or latestRevision: true")
        return self

    def wire(self) -> dict[str, Any]:
        """az looks a key up before its value: what is unset must be absent (arm-wire §3)."""
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


class Ingress(Model):
    """How requests reach the app; without it, it has no host."""

    external: bool = True
    target_port: Annotated[int, Field(ge=1, le=65535)] = 80
    traffic: Annotated[tuple[TrafficRule, ...], BeforeValidator(_none_to_list)] = ()
    custom_domains: Annotated[tuple[CustomDomain, ...], BeforeValidator(_none_to_list)] = ()

    def wire(self) -> dict[str, Any]:
        """`traffic` is always a list while ingress is on (arm-wire §3)."""
        out = super().wire()
        out["traffic"] = [rule.wire() for rule in self.traffic or DEFAULT_TRAFFIC]
        return out


Mode = Literal["single", "multiple", "labels"]


class Configuration(Model):
    """Application scope: a change makes no revision and reaches all of them at once."""

    active_revisions_mode: Annotated[Mode, BeforeValidator(_lower)] = "single"
    max_inactive_revisions: Annotated[int, Field(ge=0, le=100)] = 100
    # Labels mode: whom this write's new revision is for; acted upon, and not kept.
    target_label: Annotated[str, BeforeValidator(lambda v: (v or "").lower())] = ""
    ingress: Ingress | None = None

    def wire(self) -> dict[str, Any]:
        """Mode capitalised in answers; `ingress` present, null when off (arm-wire §3)."""
        return {
            "activeRevisionsMode": self.active_revisions_mode.capitalize(),
            "maxInactiveRevisions": self.max_inactive_revisions,
            "ingress": self.ingress.wire() if self.ingress is not None else None,
        }


class EnvironmentVariable(Model):
    """One variable of a container."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]+\z")]
    value: Annotated[str, BeforeValidator(lambda v: "" if v is None else v)] = ""


class HttpHeader(Model):
    """One header of an HTTP probe."""

    name: Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+\z")]
    value: Annotated[str, Field(pattern=r"^[^\r\n\x00]*\z")]


Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class HttpGet(Model):
    """An HTTP probe: 200 to 399 is success, redirects are not followed."""

    path: Annotated[str, Field(pattern=r"^/[^\s\x00]*\z")] = "/"
    port: Port
    scheme: Annotated[Literal["HTTP", "HTTPS"], BeforeValidator(lambda v: str(v).upper())] = "HTTP"
    host: str | None = None
    http_headers: Annotated[tuple[HttpHeader, ...], BeforeValidator(_none_to_list)] = ()


class TcpSocket(Model):
    """A TCP probe: a connection is success."""

    port: Port
    host: str | None = None


class Probe(Model):
    """Ranges and defaults of contract §7."""

    type: Annotated[
        Literal["Startup", "Readiness", "Liveness"],
        BeforeValidator(lambda v: v.capitalize() if isinstance(v, str) else v),
    ]
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    initial_delay_seconds: Annotated[int, Field(ge=0, le=60)] = 0
    period_seconds: Annotated[int, Field(ge=1, le=240)] = 10
    timeout_seconds: Annotated[int, Field(ge=1, le=240)] = 1
    success_threshold: Annotated[int, Field(ge=1, le=10)] = 1
    failure_threshold: Annotated[int, Field(ge=1, le=240)] = 3
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Probe:
        if (self.http_get is None) == (self.tcp_socket is None):
            raise ValueError("a probe has either httpGet or tcpSocket")
        if self.type != "Readiness" and self.success_threshold != 1:
            raise ValueError(f"successThreshold must be 1 for {self.type}")
        return self


class Resources(Model):
    """Limits of one container."""

    cpu: float | None = None
    memory: str | None = None


class Container(Model):
    """One program of a replica; the image's scheme picks the runtime (product.md §5)."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z")] = "main"
    image: Annotated[str, Field(min_length=1)]
    command: Annotated[tuple[str, ...], BeforeValidator(_none_to_list)] = ()
    args: Annotated[tuple[str, ...], BeforeValidator(_none_to_list)] = ()
    env: Annotated[tuple[EnvironmentVariable, ...], BeforeValidator(_none_to_list)] = ()
    resources: Resources | None = None
    probes: Annotated[tuple[Probe, ...], BeforeValidator(_none_to_list)] = ()

    @model_validator(mode="after")
    def _one_probe_of_each_type(self) -> Container:
        types = [probe.type for probe in self.probes]
        if len(types) != len(set(types)):
            raise ValueError("a container has at most one probe of each type")
        return self


class Scale(Model):
    """How many replicas; contract §8."""

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 10

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.max_replicas < self.min_replicas:
            raise ValueError("maxReplicas is below minReplicas")
        return self


class Template(Model):
    """Revision scope: a change makes a revision, which freezes a copy with its defaults."""

    revision_suffix: Annotated[str, BeforeValidator(lambda v: v or "")] = ""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    scale: Annotated[Scale, BeforeValidator(lambda v: {} if v is None else v)] = Scale()

    @property
    def runtime(self) -> str:
        """Which runtime runs it: process, endpoint or docker (product.md §5)."""
        scheme, colon, _ = self.containers[0].image.partition(":")
        return scheme if colon and scheme in ("process", "endpoint") else "docker"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """HOST:PORT of each replica that somebody else runs; empty for other images."""
        image = self.containers[0].image
        if not image.startswith("endpoint:"):
            return ()
        return tuple(a.strip() for a in image.removeprefix("endpoint:").split(",") if a.strip())

    def same_as(self, other: Template) -> bool:
        """Whether both describe the same revision; the suffix is only its name."""
        return self.model_copy(update={"revision_suffix": ""}) == other.model_copy(
            update={"revision_suffix": ""}
        )


class AppBody(Model):
    """What creates or replaces an app."""

    configuration: Configuration = Configuration()
    template: Template

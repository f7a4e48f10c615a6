"""The shape of ACA's `properties.template`: what a revision freezes."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from control.model.kinds import Many, Model, shaped

# Kubernetes' rule for the keys of a secret, which ACA follows for names.
SecretName = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\z",
        "a secret's name in a-z, 0-9, - and ., such as db-password",
    ),
]


# A label as in RFC 1123, which Kubernetes requires for containers and volumes.
Name = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z",
        "a name in a-z, 0-9 and -, such as main",
    ),
]


class EnvironmentVariable(Model):
    """One variable of a container: its value, or the secret that holds it."""

    name: Annotated[str, shaped(r"^[^=\x00]+\z", "a variable's name, without =")]
    value: Annotated[str, shaped(r"^[^\x00]*\z", "a text without NUL")] | None = None
    secret_ref: SecretName | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        ref = given.get("secretRef") or given.get("secret_ref")
        value = given.get("value")
        if ref and value:
            raise ValueError("give either value or secretRef")
        return {"name": given.get("name")} | ({"secretRef": ref} if ref else {"value": value or ""})


class HttpHeader(Model):
    """One header of an HTTP probe."""

    name: Annotated[str, shaped(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+\z", "a field name such as X-Probe")]
    value: Annotated[str, shaped(r"^[^\r\n\x00]*\z", "one line")]


Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class HttpGet(Model):
    """An HTTP probe: 200 to 399 is success, redirects are not followed."""

    path: Annotated[str, shaped(r"^/[^\s\x00]*\z", "a path such as /healthz")] = "/"
    port: Port
    scheme: Annotated[Literal["HTTP", "HTTPS"], BeforeValidator(lambda v: str(v).upper())] = "HTTP"
    host: Annotated[str, shaped(r"^[^\s\x00]*\z", "a host name")] | None = None
    http_headers: Many[HttpHeader] = ()


class TcpSocket(Model):
    """A TCP probe: a connection is success."""

    port: Port
    host: str | None = None


class Probe(Model):
    """Ranges and defaults as in ACA."""

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
    """Limits of one container: cores, and memory such as 0.5Gi."""

    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    memory: (
        Annotated[
            str,
            shaped(
                r"^\d+(\.\d+)?(Ki|Mi|Gi)\z", "a number with Ki, Mi or Gi, such as 512Mi or 0.5Gi"
            ),
        ]
        | None
    ) = None
    ephemeral_storage: str | None = None  # shown by Azure, computed there

    @property
    def memory_bytes(self) -> int:
        """The limit in bytes; 0 for none."""
        if self.memory is None:
            return 0
        unit = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[self.memory[-2:]]
        return int(float(self.memory[:-2]) * unit)


class VolumeMount(Model):
    """Where a container sees a volume."""

    volume_name: str
    mount_path: Annotated[str, shaped(r"^/[^\x00:]*\z", "an absolute path without :")]
    sub_path: Annotated[str, shaped(r"^[^/\x00][^\x00]*\z", "a relative path")] | None = None


class SecretFile(Model):
    """A secret as a file of a volume."""

    secret_ref: SecretName
    path: (
        Annotated[str, shaped(r"^[^/\x00]*[^/\x00.][^/\x00]*\z", "a file name without /")] | None
    ) = None


class Volume(Model):
    """Storage that a replica's containers share; EmptyDir and Secret live as long as it does."""

    name: Name
    storage_type: Literal["EmptyDir", "Secret", "HostPath"] = "EmptyDir"
    storage_name: str | None = None  # HostPath: the path on the host
    secrets: Many[SecretFile] = ()  # Secret: which ones; none given means all

    @model_validator(mode="after")
    def _consistent(self) -> Volume:
        is_path = (self.storage_name or "").startswith("/")
        if self.storage_type == "HostPath" and not is_path:
            raise ValueError("a HostPath volume has the path as its storageName")
        return self


class InitContainer(Model):
    """A program that runs to its end before a replica's containers start."""

    name: Name = "main"
    image: Annotated[str, Field(min_length=1)]
    command: Many[str] = ()
    args: Many[str] = ()
    env: Many[EnvironmentVariable] = ()
    resources: Resources | None = None
    volume_mounts: Many[VolumeMount] = ()


class Container(InitContainer):
    """One program of a replica; the image's scheme picks the runtime."""

    probes: Many[Probe] = ()

    @model_validator(mode="after")
    def _one_probe_of_each_type(self) -> Container:
        types = [probe.type for probe in self.probes]
        if len(types) != len(set(types)):
            raise ValueError("a container has at most one probe of each type")
        return self


class ScaleRule(Model):
    """A rule of scaling on load: kept with the revision, not acted upon yet."""

    name: Annotated[str, Field(min_length=1)]
    http: dict[str, Any] | None = None
    tcp: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None
    azure_queue: dict[str, Any] | None = None


class Scale(Model):
    """How many replicas."""

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 10
    cooldown_period: Annotated[int, Field(ge=0)] = 300
    polling_interval: Annotated[int, Field(ge=1)] = 30
    rules: Many[ScaleRule] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.max_replicas < self.min_replicas:
            raise ValueError("maxReplicas is below minReplicas")
        return self


@lru_cache(maxsize=1 << 10)
def _endpoints(image: str) -> tuple[str, ...]:
    if not image.startswith("endpoint:"):
        return ()
    return tuple(a.strip() for a in image.removeprefix("endpoint:").split(",") if a.strip())


class Template(Model):
    """Revision scope: a change makes a revision, which freezes a copy with its defaults."""

    revision_suffix: Annotated[str, BeforeValidator(lambda v: "" if v is None else v)] = ""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    init_containers: Many[InitContainer] = ()
    volumes: Many[Volume] = ()
    scale: Annotated[Scale, BeforeValidator(lambda v: {} if v is None else v)] = Scale()

    @property
    def runtime(self) -> str:
        """Which runtime runs it: process, endpoint or docker."""
        scheme, colon, _ = self.containers[0].image.partition(":")
        return scheme if colon and scheme in ("process", "endpoint") else "docker"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """HOST:PORT of each replica that somebody else runs; empty for other images."""
        return _endpoints(self.containers[0].image)

    @model_validator(mode="after")
    def _names_fit(self) -> Template:
        programs = [*self.init_containers, *self.containers]
        times = Counter(program.name for program in programs)
        repeated = [name for name, n in times.items() if n > 1]
        if repeated:
            raise ValueError(f"two containers are named {min(repeated)}; give each its own name")
        volumes = {volume.name for volume in self.volumes}
        for program in programs:
            for mount in program.volume_mounts:
                if mount.volume_name not in volumes:
                    raise ValueError(
                        f"container {program.name} mounts the volume "
                        f"{mount.volume_name}, which is not in volumes"
                    )
        return self

    @property
    def secret_refs(self) -> frozenset[str]:
        """Names of the secrets that it needs."""
        programs = [*self.init_containers, *self.containers]
        env = {v.secret_ref for program in programs for v in program.env if v.secret_ref}
        files = {f.secret_ref for volume in self.volumes for f in volume.secrets}
        return frozenset(env | files)

    def same_as(self, other: Template) -> bool:
        """Whether both describe the same revision; the suffix is only its name."""
        return self.model_copy(update={"revision_suffix": ""}) == other.model_copy(
            update={"revision_suffix": ""}
        )

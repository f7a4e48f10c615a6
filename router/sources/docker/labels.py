"""Reads the labels of one container. Pure.

A container takes part only with `turnout.enable=true`; all other labels have defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from router.contract.hosts import APP_NAME, LABEL, MAX_DNS_LABEL, NAME_RULE

PREFIX = "turnout."
ENABLE = "turnout.enable"
_KNOWN = frozenset(
    ["enable", "app", "revision", "port", "weight", "label", "mode", "hosts", "network",
     "probe.path", "probe.interval", "probe.timeout", "probe.failures"]
)  # fmt: skip
_MODES = ("single", "multiple")
_SERVICE = "com.docker.compose.service"
_DIGEST_LETTERS = 7
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Container:
    """What the Docker Engine says of one container."""

    id: str
    name: str
    image: str
    image_id: str
    created: float  # Unix time
    labels: Mapping[str, str]
    address: str = ""  # an IP that the router can reach; empty while there is none
    ports: tuple[int, ...] = ()  # exposed TCP ports
    is_healthy: bool = True  # it runs, and its own health check passes if it has one


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask a container whether it takes requests; by TCP if there is no path."""

    path: str = ""
    interval_s: float = 2.0
    timeout_s: float = 1.0
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Replica:
    """A container whose labels were read: whose replica it is, and what it asks for."""

    container: Container
    app: str
    revision: str  # APP--SUFFIX
    port: int
    weight: int | None = None
    labels: tuple[str, ...] = ()
    mode: str = ""
    hosts: tuple[str, ...] = ()
    probe: Probe = Probe()

    @property
    def address(self) -> str:
        """HOST:PORT of the container."""
        return f"{self.container.address}:{self.port}"


def read(container: Container) -> Replica | str:
    """The replica that a container is, or what is wrong with its labels."""
    given = {
        key.removeprefix(PREFIX): value.strip()
        for key, value in container.labels.items()
        if key.startswith(PREFIX)
    }
    try:
        return _read(container, given)
    except ValueError as error:
        return f"container {container.name}: {error}"


def _read(container: Container, given: Mapping[str, str]) -> Replica:
    unknown = sorted(given.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"label {PREFIX}{unknown[0]} is not known; mend its spelling")
    app = given.get("app") or container.labels.get(_SERVICE) or container.name
    if not APP_NAME.fullmatch(app):
        raise ValueError(f"{app!r} is no app name: {NAME_RULE.format(32)}; set turnout.app")
    suffix = given.get("revision") or _suffix(container)
    suffix = suffix.removeprefix(f"{app}--")
    if not LABEL.fullmatch(suffix):
        raise ValueError(f"turnout.revision: {suffix!r} is not {NAME_RULE.format(64)}")
    if len(f"{app}--{suffix}") > MAX_DNS_LABEL:
        raise ValueError(f"{app}--{suffix} is longer than a DNS label's {MAX_DNS_LABEL}")
    mode = given.get("mode", "").lower()
    if mode and mode not in _MODES:
        raise ValueError(f"turnout.mode: {mode!r} is neither single nor multiple")
    labels = _words(given.get("label", ""))
    for label in labels:
        if not LABEL.fullmatch(label):
            raise ValueError(f"turnout.label: {label!r} is not {NAME_RULE.format(64)}")
    return Replica(
        container,
        app,
        f"{app}--{suffix}",
        _port(container, given),
        _number(given, "weight", 0, 100) if "weight" in given else None,
        labels,
        mode,
        _words(given.get("hosts", "")),
        _probe(given),
    )


def _suffix(container: Container) -> str:
    """A suffix from the image's tag, or from the image id for `latest`, which moves, or no tag."""
    tag = container.image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if tag in ("", "latest"):
        return "img-" + container.image_id.removeprefix("sha256:")[:_DIGEST_LETTERS]
    folded = re.sub(r"[^a-z0-9]+", "-", tag.lower()).strip("-")
    return folded if folded[:1].isalpha() else f"v{folded}"


def _port(container: Container, given: Mapping[str, str]) -> int:
    if "port" in given:
        return _number(given, "port", 1, 65535)
    if len(container.ports) == 1:
        return container.ports[0]
    exposed = ", ".join(map(str, sorted(container.ports))) or "none"
    raise ValueError(f"set turnout.port: the image exposes {exposed}")


def _number(given: Mapping[str, str], key: str, low: int, high: int) -> int:
    text = given[key]
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise ValueError(f"turnout.{key}: {text!r} is not a number from {low} to {high}")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))


def _probe(given: Mapping[str, str]) -> Probe:
    path = given.get("probe.path", "")
    if path and not path.startswith("/"):
        raise ValueError(f"turnout.probe.path: {path!r} does not begin with /")
    default = Probe()
    return Probe(
        path,
        _seconds(given, "probe.interval", default.interval_s),
        _seconds(given, "probe.timeout", default.timeout_s),
        _number(given, "probe.failures", 1, 100) if "probe.failures" in given else default.failures,
    )


def _seconds(given: Mapping[str, str], key: str, default: float) -> float:
    if key not in given:
        return default
    match = _DURATION.match(given[key])
    if match is None or float(match[1]) == 0:
        raise ValueError(f"turnout.{key}: {given[key]!r} is no duration such as 500ms, 2s or 1m")
    return float(match[1]) * _UNITS[match[2] or "s"]

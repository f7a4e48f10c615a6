"""Checks a snapshot whole: every problem at once, each with the path of the value it is about.

The supervisor and `turnout check` use it; workers trust what the supervisor hands them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from router.contract import snapshot
from router.contract.check.sentences import what_is_wrong
from router.contract.check.the_rest import TheRest
from router.contract.domains import Owners, host_problem
from router.contract.hosts import (
    ANY_SUFFIX,
    APP_NAME,
    LABEL,
    MAX_DNS_LABEL,
    NAME_RULE,
    fold,
    parse_name,
)

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `path` leads to the value, `message` says what to do."""

    path: Path
    message: str

    def __str__(self) -> str:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path)
        return f"{where.lstrip('.')}: {self.message}" if where else self.message


def _address(value: str) -> None:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise ValueError("an endpoint is HOST:PORT, such as 127.0.0.1:9001")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"port {port} is not within 1 to 65535")
    if fold(value.encode()) is None:
        raise ValueError(f"{host!r} is no host")


def is_address(value: str) -> bool:
    """Whether a text is HOST:PORT."""
    try:
        _address(value)
    except ValueError:
        return False
    return True


def _endpoint(value: Any) -> Any:
    return {"address": value, "replica": value} if isinstance(value, str) else value


Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]


MAX_DELAY_MS = 60_000  # of an injected fault
MAX_FAULT_S = 86400.0
Percent = Annotated[float, Field(ge=0, le=100)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Endpoint(_Model):
    address: str
    replica: Name


class _Fault(_Model):
    until: float
    delay_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)] = 0
    delay_percent: Percent = 0.0
    abort_status: Annotated[int, Field(ge=400, le=599)] = 503
    abort_percent: Percent = 0.0
    seconds: Annotated[float, Field(ge=0, le=MAX_FAULT_S)] = 0.0


class _Revision(_Model):
    name: Name
    weight: int = 0
    labels: list[str] = []
    endpoints: list[Annotated[_Endpoint, BeforeValidator(_endpoint)]] = []
    fault: _Fault | None = None


class _App(_Model):
    name: Name
    mode: Literal["single", "multiple", "labels"] = "single"
    hosts: list[Name] = []
    external: bool = True
    revisions: list[_Revision] = []


class _Snapshot(_Model):
    domain: Name = "localhost"
    version: Annotated[int, Field(ge=0)] = 0
    epoch: str = ""
    apps: list[_App] = []
    problems: list[str] = []


# In a file somebody writes by hand, an unknown key is a spelling mistake.
class _FileRevision(_Revision):
    model_config = ConfigDict(extra="forbid")


class _FileApp(_App):
    model_config = ConfigDict(extra="forbid")
    revisions: list[_FileRevision] = []  # type: ignore[assignment]


class _FileSnapshot(_Snapshot):
    model_config = ConfigDict(extra="forbid")
    apps: list[_FileApp] = []  # type: ignore[assignment]


def check(wire: Any, *, is_file: bool = False) -> snapshot.Snapshot | list[Problem]:
    """The snapshot in decoded JSON (or a routes file), or everything that is wrong with it."""
    form = _FileSnapshot if is_file else _Snapshot
    try:
        model = form.model_validate(wire)
    except ValidationError as error:
        found = error.errors(include_input=False)
        return [*map(_problem, found), *_of_the_rest(form, TheRest(wire, found))]
    problems = list(_rules(model))
    return problems or _freeze(model)


def _of_the_rest(form: type[_Snapshot], rest: TheRest) -> Iterator[Problem]:
    try:
        model = form.model_validate(rest.document)
    except ValidationError:  # what is wrong with the form was enough
        return
    yield from (problem for problem in _rules(model) if rest.can_say(problem.path))


def check_app(wire: Any, domain: str) -> snapshot.App | list[Problem]:
    """One app out of decoded JSON by the same rules, without those between apps."""
    try:
        model = _App.model_validate(wire)
    except ValidationError as error:
        return [_problem(e) for e in error.errors(include_input=False)]
    problems = list(_app_rules(model, (), domain))
    return problems or snapshot.app_from(model.model_dump())


def _problem(error: Any) -> Problem:
    if error["type"] == "extra_forbidden":
        return Problem(error["loc"], "unknown key; remove it or mend its spelling")
    return Problem(error["loc"], what_is_wrong(error))


def domain_problem(domain: str) -> str:
    """What is wrong with the apps' domain; empty when nothing is."""
    return "" if fold(domain.encode()) == domain.encode() else "not a lower-case host name"


def _rules(model: _Snapshot) -> Iterator[Problem]:
    if wrong := domain_problem(model.domain):
        yield Problem(("domain",), wrong)
    owners = Owners()
    names: set[str] = set()
    for i, app in enumerate(model.apps):
        at: Path = ("apps", i)
        yield from _app_rules(app, at, model.domain)
        if app.name in names:
            yield Problem((*at, "name"), f"{app.name} appears twice")
        elif rival := owners.conflict(app.name, app.hosts):
            yield Problem((*at, "hosts"), rival)
        else:
            owners.claim(app.name, app.hosts)
        names.add(app.name)


def _app_rules(app: _App, at: Path, domain: str) -> Iterator[Problem]:
    if not APP_NAME.fullmatch(app.name):
        yield Problem((*at, "name"), f"{app.name!r} is no app name: {NAME_RULE.format(32)}")
    for j, host in enumerate(app.hosts):
        if wrong := host_problem(host, domain):
            yield Problem((*at, "hosts", j), wrong)
    yield from _revision_rules(app, at)
    yield from _traffic_rules(app, at)


def _revision_rules(app: _App, at: Path) -> Iterator[Problem]:
    names = Counter(r.name for r in app.revisions)
    labels = Counter(label for r in app.revisions for label in r.labels)
    for j, revision in enumerate(app.revisions):
        here: Path = (*at, "revisions", j)
        kind, owner, suffix = parse_name(revision.name)
        if kind != "revision" or owner != app.name or not ANY_SUFFIX.fullmatch(suffix):
            yield Problem((*here, "name"), f"{revision.name!r} is not {app.name}--SUFFIX")
        elif len(revision.name) > MAX_DNS_LABEL:
            yield Problem((*here, "name"), f"{revision.name!r} is longer than a DNS label's 63")
        if names[revision.name] > 1:
            yield Problem((*here, "name"), f"{revision.name} appears twice")
        if not 0 <= revision.weight <= 100:
            yield Problem((*here, "weight"), f"{revision.weight} is not within 0 to 100")
        for k, endpoint in enumerate(revision.endpoints):
            try:
                _address(endpoint.address)
            except ValueError as error:
                yield Problem((*here, "endpoints", k), str(error))
        for label in revision.labels:
            if not LABEL.fullmatch(label):
                yield Problem((*here, "labels"), f"{label!r} is no label")
            elif len(f"{app.name}---{label}") > MAX_DNS_LABEL:
                yield Problem((*here, "labels"), f"{app.name}---{label} exceeds a DNS label's 63")
            if labels[label] > 1:
                yield Problem((*here, "labels"), f"label {label} appears twice")


def _traffic_rules(app: _App, at: Path) -> Iterator[Problem]:
    total = sum(r.weight for r in app.revisions)
    if app.revisions and total not in (0, 100):
        yield Problem(at, f"the weights sum to {total}; they must sum to 100")
    if app.mode == "single" and sum(r.weight > 0 for r in app.revisions) > 1:
        yield Problem(
            (*at, "mode"), "single mode has one revision with weight; use mode multiple to split"
        )


def _freeze(model: _Snapshot) -> snapshot.Snapshot:
    return snapshot.Snapshot(
        domain=model.domain,
        version=model.version,
        epoch=model.epoch,
        problems=tuple(model.problems),
        apps=tuple(snapshot.app_from(app.model_dump()) for app in model.apps),
    )

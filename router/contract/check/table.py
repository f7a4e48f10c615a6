"""Checks a whole snapshot and reports every problem at once, with the path of its value.

The supervisor and `turnout check` use it; workers trust the supervisor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from router.contract import snapshot
from router.contract.check.form import (
    Flag,
    ListOf,
    Maybe,
    Number,
    OneOf,
    Path,
    Reading,
    Record,
    Text,
)
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


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `path` leads to the value, `message` says what to do about it."""

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


MAX_DELAY_MS = 60_000  # the longest delay of an injected fault
MAX_FAULT_S = 86400.0

_NAME = Text(shortest=1, longest=253)
_PERCENT = Number(least=0, most=100, is_whole=False)
_FAULT = Record(
    snapshot.Fault,
    {
        "until": Number(is_whole=False),
        "delay_ms": Number(least=0, most=MAX_DELAY_MS),
        "delay_percent": _PERCENT,
        "abort_status": Number(least=400, most=599),
        "abort_percent": _PERCENT,
        "seconds": Number(least=0, most=MAX_FAULT_S, is_whole=False),
    },
    frozenset({"until"}),
)
_ENDPOINT = Record(
    snapshot.Endpoint, {"address": Text(), "replica": _NAME}, frozenset({"address", "replica"})
)


class _Endpoint:
    """An object, or just HOST:PORT, which then also names the replica."""

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        if isinstance(value, str):
            value = {"address": value, "replica": value}
        return _ENDPOINT.read(value, path, reading)


_REVISION = Record(
    snapshot.Revision,
    {
        "name": _NAME,
        "weight": Number(),
        "labels": ListOf(Text()),
        "endpoints": ListOf(_Endpoint()),
        "fault": Maybe(_FAULT),
    },
    frozenset({"name"}),
    is_written_by_hand=True,
)
_APP = Record(
    snapshot.App,
    {
        "name": _NAME,
        "mode": OneOf(("single", "multiple", "labels")),
        "hosts": ListOf(_NAME),
        "external": Flag(),
        "revisions": ListOf(_REVISION),
    },
    frozenset({"name"}),
    is_written_by_hand=True,
)
_SNAPSHOT = Record(
    snapshot.Snapshot,
    {
        "domain": _NAME,
        "version": Number(least=0),
        "epoch": Text(),
        "apps": ListOf(_APP),
        "problems": ListOf(Text()),
    },
    frozenset(),
    is_written_by_hand=True,
)


def check(wire: Any, *, is_file: bool = False) -> snapshot.Snapshot | list[Problem]:
    """The snapshot in decoded JSON or in a routes file, or every problem with it."""
    reading = Reading(is_file)
    table = _SNAPSHOT.read(wire, (), reading)
    if reading.mistakes:
        rest = TheRest(wire, reading.mistakes)
        return [*map(_problem, reading.mistakes), *_of_the_rest(rest, is_file=is_file)]
    problems = list(_rules(table))
    return problems or cast(snapshot.Snapshot, table)


def _of_the_rest(rest: TheRest, *, is_file: bool) -> Iterator[Problem]:
    reading = Reading(is_file)
    table = _SNAPSHOT.read(rest.document, (), reading)
    # a wrong form is reported alone, since the rules below need the right one
    if not reading.mistakes:
        yield from (problem for problem in _rules(table) if rest.can_say(problem.path))


def check_app(wire: Any, domain: str) -> snapshot.App | list[Problem]:
    """One app from decoded JSON, checked without the rules that concern several apps."""
    reading = Reading(is_file=False)
    app = _APP.read(wire, (), reading)
    if reading.mistakes:
        return [_problem(mistake) for mistake in reading.mistakes]
    problems = list(_app_rules(app, (), domain))
    return problems or cast(snapshot.App, app)


def _problem(error: Any) -> Problem:
    if error["type"] == "extra_forbidden":
        return Problem(error["loc"], "unknown key; remove it or mend its spelling")
    return Problem(error["loc"], what_is_wrong(error))


def domain_problem(domain: str) -> str:
    """What is wrong with the domain of the apps; empty if it is good."""
    return "" if fold(domain.encode()) == domain.encode() else "not a lower-case host name"


def _rules(table: snapshot.Snapshot) -> Iterator[Problem]:
    if wrong := domain_problem(table.domain):
        yield Problem(("domain",), wrong)
    owners = Owners()
    names: set[str] = set()
    for i, app in enumerate(table.apps):
        at: Path = ("apps", i)
        yield from _app_rules(app, at, table.domain)
        if app.name in names:
            yield Problem((*at, "name"), f"{app.name} appears twice")
        elif rival := owners.conflict(app.name, app.hosts):
            yield Problem((*at, "hosts"), rival)
        else:
            owners.claim(app.name, app.hosts)
        names.add(app.name)


def _app_rules(app: snapshot.App, at: Path, domain: str) -> Iterator[Problem]:
    if not APP_NAME.fullmatch(app.name):
        yield Problem((*at, "name"), f"{app.name!r} is no app name: {NAME_RULE.format(32)}")
    for j, host in enumerate(app.hosts):
        if wrong := host_problem(host, domain):
            yield Problem((*at, "hosts", j), wrong)
    yield from _revision_rules(app, at)
    yield from _traffic_rules(app, at)


def _revision_rules(app: snapshot.App, at: Path) -> Iterator[Problem]:
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


def _traffic_rules(app: snapshot.App, at: Path) -> Iterator[Problem]:
    total = sum(r.weight for r in app.revisions)
    if app.revisions and total not in (0, 100):
        yield Problem(at, f"the weights sum to {total}; they must sum to 100")
    if app.mode == "single" and sum(r.weight > 0 for r in app.revisions) > 1:
        yield Problem(
            (*at, "mode"), "single mode has one revision with weight; use mode multiple to split"
        )

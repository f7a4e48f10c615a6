"""Explains why a request goes where it goes, by the rules that routers compile tables from.

Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from control.model.errors import Invalid
from control.model.kinds import AppName, RevisionName
from control.model.resources import AppView
from control.publish.compiler import compile_app
from control.rules.faults import sent
from router.contract import matching, outcomes
from router.contract.hosts import fold
from router.contract.matching import Named
from router.contract.outcomes import Outcome
from router.contract.snapshot import App, Revision, Snapshot

_WORDS = {
    "weight": "the host is the app's: a revision is drawn by weight, request by request",
    "label": "the host names a label: its revision answers, weights do not count",
    "revision": "the host names a revision: it answers, weights do not count",
}
_INSIDE = (
    "; the app is internal: only clients within internal_networks reach it,"
    " all others are answered 404 HostNotFound"
)


# the fault and the replicas of an app's revision
FactsOf = Callable[[str, Revision], dict[str, Any]]


def explain(
    views: Mapping[AppName, AppView], domain: str, version: int, url: str
) -> dict[str, Any]:
    """What would happen to a request for `url`. Raises Invalid if it is not a URL."""
    compiled = dict(_compiled(views))

    def facts_of(app: str, revision: Revision) -> dict[str, Any]:
        view = views[AppName(app)]
        name = RevisionName(revision.name)
        fault = view.app.faults.get(name) if view.app is not None else None
        replicas = [
            {
                "name": r.name,
                "address": r.address,
                "state": r.state.value,
                "ready": r.is_ready,
                "details": r.message,
            }
            for r in view.of(name)
        ]
        wire = asdict(sent(fault)) if fault is not None else None
        return {"fault": wire, "replicas": replicas}

    return _explain(compiled, domain, version, url, facts_of)


def explain_table(table: Snapshot, url: str) -> dict[str, Any]:
    """The explanation from a router's table alone, which has only ready replicas.

    Raises Invalid.
    """

    def facts_of(_: str, revision: Revision) -> dict[str, Any]:
        replicas = [
            {"name": e.replica, "address": e.address, "state": "Ready", "ready": True}
            for e in revision.endpoints
        ]
        return {"fault": None, "replicas": replicas}

    return _explain(
        {app.name: app for app in table.apps}, table.domain, table.version, url, facts_of
    )


def _explain(
    compiled: Mapping[str, App], domain: str, version: int, url: str, facts_of: FactsOf
) -> dict[str, Any]:
    host = _host(url)
    found = _look_up(_concerned(compiled.values(), host), domain, host)
    answer: dict[str, Any] = {"url": url, "host": host, "tableVersion": version}
    if isinstance(found, Outcome):
        return answer | {"app": None, "reason": None, "revisions": []} | _refusal(found)
    app, named = found
    refusal = matching.refusal(app, named.revision)
    chances = _chances(app, named.revision) if refusal is None else {}
    answer |= {"app": app.name, "reason": named.reason, "because": _WORDS[named.reason]}
    answer["revisions"] = [
        _revision(spec, chances, facts_of(app.name, spec))
        for spec in app.revisions
        if named.revision is None or spec.name in chances or not chances
    ]
    if not app.external:
        answer["because"] += _INSIDE
    return answer | (_refusal(refusal) if refusal is not None else {})


def _look_up(apps: list[App], domain: str, host: str) -> tuple[App, Named] | Outcome:
    """Look a host up as a router's table does: public apps first, then internal ones."""
    answer = outcomes.HOST_NOT_FOUND
    for external in (True, False):
        ours = {app.name: app for app in apps if app.external is external}
        hosts = {n.host: (app, n) for app in ours.values() for n in matching.hosts_of(app, domain)}
        wild = hosts.get(matching.wildcard_of(host))
        found = hosts.get(host) or (wild if matching.is_plain(host) else None)
        if found is not None:
            return found
        owner = wild[0].name if wild is not None else ""
        answer = matching.unknown(host, domain, ours.__contains__, owner)
        if answer is not outcomes.HOST_NOT_FOUND:
            break
    return answer


def _compiled(views: Mapping[AppName, AppView]) -> Iterator[tuple[str, App]]:
    """The apps that compile; one that does not is quarantined and must not affect the others."""
    for name, view in views.items():
        with contextlib.suppress(Exception):
            if (app := compile_app(view)) is not None:
                yield name, app


def _host(url: str) -> str:
    """The folded host of a URL, or of a bare host."""
    try:
        netloc = urlsplit(url if "//" in url else f"//{url}").netloc
    except ValueError:
        netloc = ""
    key = fold(netloc.encode("utf-8", "replace")) if netloc else None
    if key is None:
        raise Invalid(f"url: {url!r} has no host name; write http://HOST/PATH")
    return key.decode("ascii")


def _concerned(apps: Iterable[App], host: str) -> list[App]:
    """Apps that could own the host: compiling all of ten thousand would hold everything up."""
    first, _, rest = host.partition(".")
    owner = first.partition("--")[0]
    return [app for app in apps if app.name == owner or {host, f"*.{rest}"} & set(app.hosts)]


def _chances(app: App, revision: Revision | None) -> dict[str, float]:
    """The chance of each revision, by name."""
    if revision is not None:
        return {revision.name: 1.0}
    drawn = matching.drawn(app)
    total = sum(revision.weight for revision in drawn)
    return {revision.name: revision.weight / total for revision in drawn}


def _revision(
    spec: Revision, chances: Mapping[str, float], facts: dict[str, Any]
) -> dict[str, Any]:
    ready = sum(r["ready"] for r in facts["replicas"])
    return {
        "name": spec.name,
        "weight": spec.weight,
        "chance": round(chances.get(spec.name, 0.0), 4),
        "why": _why(spec.name, spec.weight, ready, chances),
        **facts,
    }


def _why(name: str, weight: int, ready: int, chances: Mapping[str, float]) -> str:
    if name in chances:
        return f"{ready} ready replica{'s' if ready != 1 else ''}"
    if not weight:
        return "it has no weight"
    return "no replica is ready; its weight goes to the others"


def _refusal(outcome: Outcome) -> dict[str, Any]:
    return {"answer": {"status": outcome.status, "code": outcome.code, "message": outcome.message}}

"""Why a request goes where it goes: the router's own look-up, asked instead of performed.

Pure. It compiles the apps in question with the router's compiler, so it cannot disagree with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from control.commands.faults import sent
from control.compiler import compile_app
from control.errors import Invalid
from control.resources import AppView
from router import errors
from router.errors import Outcome
from router.hosts import fold
from router.replicas import ReplicaRegistry
from router.snapshot import App, Revision, Snapshot
from router.stats import WorkerStats
from router.table import EMPTY, Compiler, Route

_WORDS = {
    "weight": "the host is the app's: a revision is drawn by weight, request by request",
    "label": "the host names a label: its revision answers, weights do not count",
    "revision": "the host names a revision: it answers, weights do not count",
}
_INSIDE = (
    "; the app is internal: only clients within internal_networks reach it,"
    " all others are answered 404 HostNotFound"
)


Told = Callable[[str, Revision], dict[str, Any]]  # an app's revision: its fault and replicas


def explain(views: Mapping[str, AppView], domain: str, version: int, url: str) -> dict[str, Any]:
    """What would become of a request for `url`. Raises Invalid for what is no URL."""
    compiled = dict(_compiled(views))

    def told(app: str, revision: Revision) -> dict[str, Any]:
        view = views[app]
        fault = view.app.faults.get(revision.name) if view.app is not None else None
        replicas = [
            {
                "name": r.name,
                "address": r.address,
                "state": r.state.value,
                "ready": r.is_ready,
                "details": r.message,
            }
            for r in view.of(revision.name)
        ]
        wire = asdict(sent(fault)) if fault is not None else None
        return {"fault": wire, "replicas": replicas}

    return _explain(compiled, domain, version, url, told)


def explain_table(table: Snapshot, url: str) -> dict[str, Any]:
    """The same by a router's table alone, which has ready replicas only. Raises Invalid."""

    def told(_: str, revision: Revision) -> dict[str, Any]:
        replicas = [
            {"name": e.replica, "address": e.address, "state": "Ready", "ready": True}
            for e in revision.endpoints
        ]
        return {"fault": None, "replicas": replicas}

    return _explain({app.name: app for app in table.apps}, table.domain, table.version, url, told)


def _explain(
    compiled: Mapping[str, App], domain: str, version: int, url: str, told: Told
) -> dict[str, Any]:
    host = _host(url)
    compiler = Compiler(ReplicaRegistry(), WorkerStats())
    routes = [compiler.app(app, domain) for app in _concerned(compiled.values(), host)]
    table = compiler.table(EMPTY, domain=domain, version=version or 1, epoch="", changed=routes)
    found = table.lookup(host.encode())
    if found is errors.HOST_NOT_FOUND:
        found = table.lookup_inside(host.encode())
    answer: dict[str, Any] = {"url": url, "host": host, "tableVersion": version}
    if isinstance(found, Outcome):
        return answer | {"app": None, "reason": None, "revisions": []} | _refusal(found)
    chances = _chances(found)
    answer |= {"app": found.app, "reason": found.reason, "because": _WORDS[found.reason]}
    answer["revisions"] = [
        _revision(spec, chances, told(found.app, spec))
        for spec in compiled[found.app].revisions
        if found.split is not None or spec.name in chances or len(chances) == 0
    ]
    if not compiled[found.app].external:
        answer["because"] += _INSIDE
    return answer | (_refusal(found.outcome) if found.outcome is not None else {})


def _compiled(views: Mapping[str, AppView]) -> Iterator[tuple[str, App]]:
    """What can be compiled; an app that cannot be is quarantined, and no affair of the others."""
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
    """Apps that could own the host; compiling all of ten thousand would hold everything up."""
    first, _, rest = host.partition(".")
    owner = first.partition("--")[0]
    return [app for app in apps if app.name == owner or {host, f"*.{rest}"} & set(app.hosts)]


def _chances(route: Route) -> dict[str, float]:
    """Chance by revision."""
    if route.fixed is not None:
        return {route.fixed.name: 1.0}
    items = route.split.items if route.split is not None else []
    total = sum(item.weight for item in items)
    return {item.name: item.weight / total for item in items}


def _revision(spec: Revision, chances: Mapping[str, float], told: dict[str, Any]) -> dict[str, Any]:
    ready = sum(r["ready"] for r in told["replicas"])
    return {
        "name": spec.name,
        "weight": spec.weight,
        "chance": round(chances.get(spec.name, 0.0), 4),
        "why": _why(spec.name, spec.weight, ready, chances),
        **told,
    }


def _why(name: str, weight: int, ready: int, chances: Mapping[str, float]) -> str:
    if name in chances:
        return f"{ready} ready replica{'s' if ready != 1 else ''}"
    if not weight:
        return "it has no weight"
    return "no replica is ready; its weight goes to the others"


def _refusal(outcome: Outcome) -> dict[str, Any]:
    return {"answer": {"status": outcome.status, "code": outcome.code, "message": outcome.message}}

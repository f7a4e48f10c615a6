"""What a change would do, without doing it: the same command, and how it would end.

Pure. "Would end" means: every revision that is started becomes ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from control.history import journal
from control.model import labels, traffic
from control.model.kinds import NO_REVISION, RevisionName
from control.model.resources import AppView, Provisioning
from router.contract.hosts import app_host, label_host, revision_host


@dataclass(frozen=True, slots=True)
class Preview:
    """A change before it is made; `changes` is empty when nothing would happen."""

    changes: list[str]
    revision: RevisionName | None  # that would be made
    activates: list[str]
    deactivates: list[str]
    traffic_before: dict[str, int]
    traffic_after: dict[str, int]
    hosts_appear: list[str]
    hosts_vanish: list[str]
    warnings: list[str]

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "changes": self.changes,
            "revision": self.revision,
            "activates": self.activates,
            "deactivates": self.deactivates,
            "traffic": {"before": self.traffic_before, "after": self.traffic_after},
            "hosts": {"appear": self.hosts_appear, "vanish": self.hosts_vanish},
            "warnings": self.warnings,
        }


@dataclass(frozen=True, slots=True)
class Previews:
    """What a dry run answers in place of what the change would: what each app would become."""

    apps: dict[str, Preview]

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {"apps": {name: preview.wire() for name, preview in self.apps.items()}}


NO_APP_CHANGES = Previews({})


def preview(old: AppView, new: AppView, domain: str, now: float) -> Preview:
    """What becomes of `old` when a command turned it into `new`."""
    end = _settled(new, now)
    before, after = _active(old), _active(end)
    hosts_before, hosts_after = set(_hosts(old, domain)), set(_hosts(end, domain))
    made = [name for name in new.revisions if name not in old.revisions]
    return Preview(
        changes=list(journal.changes(old, new)),
        revision=made[0] if made else None,
        activates=sorted(after - before),
        deactivates=sorted(before - after),
        traffic_before=_weights(old),
        traffic_after=_weights(end),
        hosts_appear=sorted(hosts_after - hosts_before),
        hosts_vanish=sorted(hosts_before - hosts_after),
        warnings=list(_warnings(old, end, made)),
    )


def _settled(view: AppView, now: float) -> AppView:
    """The view once everything that was started is ready."""
    app = view.app
    if app is None:
        return view
    revisions = {
        name: replace(r, provisioning=Provisioning.PROVISIONED) if r.is_active else r
        for name, r in view.revisions.items()
    }
    if app.is_single and app.candidate:
        app = replace(app, serving=app.candidate, candidate=NO_REVISION)
        revisions = {
            name: r if name == app.serving else replace(r, is_active=False)
            for name, r in revisions.items()
        }
    return labels.settle(replace(view, app=app, revisions=revisions), now)


def _active(view: AppView) -> set[str]:
    return {name for name, r in view.revisions.items() if r.is_active}


def _weights(view: AppView) -> dict[str, int]:
    return {name: s.weight for name, s in traffic.shares(view).items() if s.weight}


def _hosts(view: AppView, domain: str) -> Iterator[str]:
    app = view.app
    if app is None or app.configuration.ingress is None:
        return
    yield app_host(app.name, domain)
    yield from (d.name for d in app.configuration.ingress.custom_domains)
    for name, share in traffic.shares(view).items():
        yield revision_host(name, domain)
        yield from (label_host(app.name, label, domain) for label in share.labels)


def _warnings(old: AppView, end: AppView, made: list[RevisionName]) -> Iterator[str]:
    app = end.app
    if app is None:
        return
    weights = _weights(end)
    for name in made:
        if name not in weights and app.configuration.ingress is not None and not app.is_single:
            yield f"revision {name} would get no traffic: no rule names it or follows the latest"
    if _weights(old) and not weights:
        yield "the app would have no traffic any more"
    if app.is_stopped:
        yield "the app is stopped: nothing is started until it is started again"

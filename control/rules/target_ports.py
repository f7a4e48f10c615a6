"""The port that an app's containers listen on: set for the app, kept by each revision.

A deploy may name a wrong one, and that must not break who serves, not even at its next restart.
So a revision keeps the port it was made with. A new port without a new revision is a restart:
replicas at the new port replace the others once they are ready, and if they never are the old
port comes back. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from control.model.kinds import RevisionName
from control.model.resources import App, AppView, Provisioning, Replica, Revision
from control.rules.base_revision import base_of


def of_app(app: App) -> int:
    """The target port; 0 for none."""
    ingress = app.configuration.ingress
    return (ingress.target_port or 0) if ingress is not None else 0


def with_port(app: App, port: int) -> App:
    """The app with another target port; unchanged without an ingress, or for no port."""
    return app if port in (0, of_app(app)) else app.with_ingress(target_port=port)


def noted(view: AppView) -> AppView:
    """The same where nobody follows the app's port, as records of earlier versions do.

    For a write that changes the port: whoever was started at the old one comes back at it.
    """
    assert view.app is not None
    port = of_app(view.app)
    revisions = {
        n: r if r.target_port else replace(r, target_port=port) for n, r in view.revisions.items()
    }
    replicas = {
        n: r if r.target_port else replace(r, target_port=port) for n, r in view.replicas.items()
    }
    return replace(view, revisions=revisions, replicas=replicas)


def follow(view: AppView, about: RevisionName, old: int, now: float) -> AppView:
    """The revisions after a write that made none; `old` was the app's port before it.

    A write about a revision that is not ready sets the port of that one, else also that of all
    that are ready at its port or the app's old one: the others have ports of their own.
    """
    assert view.app is not None
    new, one = of_app(view.app), view.revisions.get(about)
    if one is None or new == 0:
        return view
    chosen = [one]
    if one.provisioning is Provisioning.PROVISIONED:
        others = [r for r in view.revisions.values() if _is_ready(r) and r is not one]
        at = {old, one.target_port or old}  # they differ after the ingress was away
        chosen += [r for r in others if (r.target_port or old) in at]
    return view.with_revision(*(moving(r, old, new, now) for r in chosen))


def _is_ready(revision: Revision) -> bool:
    return revision.is_active and revision.provisioning is Provisioning.PROVISIONED


def moving(revision: Revision, old: int, new: int, now: float) -> Revision:
    """The revision on its way to a port; `old` is where it is unless it knows better."""
    left = revision.target_port or old
    if new == left:
        return revision
    if revision.template.runtime != "docker":  # it listens where its runtime says
        return replace(revision, target_port=new)
    if new == revision.leaving_port:
        return staying(revision)
    moved = replace(revision, target_port=new, generation=revision.generation + 1, activated_at=now)
    if not _is_ready(revision) or revision.leaving_port:
        return moved
    return replace(moved, leaving_port=left, leaving_generation=revision.generation)


def staying(revision: Revision) -> Revision:
    """The revision back at the port it was leaving, where replicas of it still run."""
    if not revision.leaving_port:
        return revision
    return replace(
        revision,
        target_port=revision.leaving_port,
        generation=revision.leaving_generation,
        leaving_port=0,
        leaving_generation=0,
    )


def restarted(revision: Revision) -> Revision:
    """The revision with all its replicas to be replaced, also those at a port it is leaving."""
    left = revision.leaving_generation + 1 if revision.leaving_port else 0
    return replace(revision, generation=revision.generation + 1, leaving_generation=left)


def arrived(revision: Revision) -> Revision:
    """The revision with enough replicas ready at its new port."""
    return replace(revision, leaving_port=0, leaving_generation=0)


def is_current(replica: Replica, revision: Revision) -> bool:
    """Whether a replica is as its revision wants them now, and not to be replaced."""
    is_there = replica.target_port in (0, revision.target_port)
    is_elsewhere = revision.template.runtime == "docker" and not is_there
    return replica.generation == revision.generation and not is_elsewhere


def taken_back(view: AppView) -> AppView:
    """The app with the port of who serves, after a deploy was given up."""
    base = base_of(view)
    if view.app is None or base is None:
        return view
    return view.with_app(with_port(view.app, base.target_port))

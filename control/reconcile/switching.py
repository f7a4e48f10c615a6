"""Single mode: who serves, who is about to take over, and who rests. Pure.

Routes first, then the rest: the old revision leaves once the new one is ready.
"""

from __future__ import annotations

from dataclasses import replace

from control.model import traffic
from control.model.errors import Invalid
from control.model.kinds import NO_REVISION, RevisionName
from control.model.resources import App, AppView, Provisioning, Revision
from control.rules import target_ports
from control.rules.commands import rested, woken


def switched(view: AppView, now: float) -> AppView:
    """The view once the candidate has taken over or was given up, and who is superfluous rests."""
    app = view.existing_app()
    if not app.is_single:
        return view
    candidate = view.revisions.get(app.candidate)
    if candidate is None or _is_given_up(candidate, app):
        view = _without_candidate(view, now)
    elif candidate.is_active and candidate.provisioning is Provisioning.PROVISIONED:
        view = _taken_over(view, candidate)
    return _others_rested(view, now)


def _is_given_up(candidate: Revision, app: App) -> bool:
    """Whether a candidate has failed: it never takes over then, not even when it comes up late.

    Its deploy was reported as failed. The first revision has nobody to take over from and may
    recover.
    """
    return candidate.provisioning is Provisioning.FAILED and app.serving != ""


def _taken_over(view: AppView, candidate: Revision) -> AppView:
    app = replace(view.existing_app(), serving=candidate.name, candidate=NO_REVISION)
    return view.with_app(_with_default_traffic(target_ports.with_port(app, candidate.target_port)))


def _with_default_traffic(app: App) -> App:
    """Single mode has no split; a label of the latest-revision rule stays."""
    ingress = app.configuration.ingress
    if ingress is None or not ingress.traffic:
        return app
    followers = [rule for rule in ingress.traffic if rule.latest_revision]
    return app.with_ingress(
        traffic=tuple(rule.model_copy(update={"weight": 100}) for rule in followers)
    )


def _without_candidate(view: AppView, now: float) -> AppView:
    app = view.existing_app()
    if not app.candidate:
        return view
    kept = app.serving if app.kept == app.candidate else app.kept
    back = _back(view, now)
    if back is None:
        return view.with_app(replace(app, candidate=NO_REVISION, kept=kept))
    return view.with_revision(back).with_app(replace(app, candidate=back.name, kept=kept))


def _back(view: AppView, now: float) -> Revision | None:
    """The old revision, awake again: with `recreate` it rested to make room for its successor."""
    app = view.existing_app()
    old = view.revisions.get(app.serving)
    if old is None or old.is_active:
        return None
    try:
        return woken(old, view, app, now)
    except Invalid:  # a secret that it needs was taken away meanwhile
        return None


# --- who rests


def _others_rested(view: AppView, now: float) -> AppView:
    app = view.existing_app()
    if not app.serving and not app.candidate:  # there is nobody to make room for
        return view
    return view.with_revision(
        *(rested(r, now) for r in view.revisions.values() if r.is_active and not _stays(view, r))
    )


def _stays(view: AppView, revision: Revision) -> bool:
    app = view.existing_app()
    return (
        revision.name in _wanted(app)
        or _still_has_traffic(view, app, revision)
        or _is_evidence(app, revision)
    )


def _wanted(app: App) -> set[RevisionName]:
    """Who serves, who is about to, and whom a rollback that waits needs."""
    ours = {app.candidate or app.serving} if app.recreates else {app.serving, app.candidate}
    return ours | app.restored


def _still_has_traffic(view: AppView, app: App, revision: Revision) -> bool:
    """Until the switch to single mode is made, what had traffic keeps it."""
    if app.serving or app.recreates:
        return False
    share = traffic.shares(view).get(revision.name)
    return share is not None and share.weight > 0


def _is_evidence(app: App, revision: Revision) -> bool:
    """Whether it failed last: its replicas stay, so that somebody can see why.

    Not with `recreate`, whose revisions must never run beside each other.
    """
    has_failed = revision.provisioning is Provisioning.FAILED
    return has_failed and revision.name == app.latest and not app.recreates

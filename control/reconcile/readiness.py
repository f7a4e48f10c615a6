"""Whether a revision is ready, or has failed. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.model.kinds import RevisionName
from control.model.resources import App, AppView, Provisioning, ReplicaState, Revision
from control.model.states import CRASH_LOOP
from control.reconcile.limits import Limits
from control.reconcile.scaling import wanted
from control.rules import target_ports
from control.rules.base_revision import base_of


def judged(view: AppView, name: RevisionName, now: float, limits: Limits) -> AppView:
    """The view with what is to be said of one revision by its replicas; `now` is steady."""
    app, revision = view.existing_app(), view.revisions[name]
    if not revision.is_active or app.is_stopped:
        return view
    if revision.leaving_port:  # ready or, after a stop of the app, about to be so again
        view = _port_judged(view, revision, now, limits)
        revision = view.revisions[name]
    if revision.leaving_port or revision.provisioning is Provisioning.PROVISIONED:
        return view
    if len(view.ready(name)) >= revision.needed:
        return view if _comes_too_late(view, revision) else _ready(view, revision)
    if revision.provisioning is Provisioning.PROVISIONING:
        revision = _failed_if(view, _timed(revision, now), now, limits)
        view = view.with_revision(revision)
    return _taken_back(view, revision)


def is_timed(revision: Revision) -> bool:
    """Whether the progress deadline of a revision runs."""
    is_on_its_way = revision.provisioning is Provisioning.PROVISIONING or revision.leaving_port
    is_begun = revision.attempt_at == revision.activated_at
    return revision.is_active and bool(is_on_its_way) and is_begun


def _ready(view: AppView, revision: Revision) -> AppView:
    app = view.existing_app()
    latest = view.revisions.get(app.latest_ready)
    if latest is None or latest.number < revision.number:
        view = view.with_app(replace(app, latest_ready=revision.name))
    return view.with_revision(
        replace(
            revision,
            provisioning=Provisioning.PROVISIONED,
            has_been_ready=True,
            reason="",
            message="",
        )
    )


def _comes_too_late(view: AppView, revision: Revision) -> bool:
    """Whether a failed revision stays failed although its replicas answer by now.

    Its deploy was reported as failed, so nobody expects traffic on it; `activate`, `restart` or
    deploying it again is a new attempt. With nobody else ready, it is better than nothing.
    """
    return revision.provisioning is Provisioning.FAILED and any(
        r.is_active and r.provisioning is Provisioning.PROVISIONED and r.name != revision.name
        for r in view.revisions.values()
    )


def _taken_back(view: AppView, revision: Revision) -> AppView:
    """A deploy that failed must not leave its port to the app: who serves listens elsewhere."""
    has_failed = revision.provisioning is Provisioning.FAILED
    is_latest = revision.name == view.existing_app().latest
    return target_ports.taken_back(view) if has_failed and is_latest else view


# --- a new port


def _port_judged(view: AppView, revision: Revision, now: float, limits: Limits) -> AppView:
    """Whether a revision answers at its new port; if it never does, the old one comes back."""
    there = [r for r in view.ready(revision.name) if target_ports.is_current(r, revision)]
    timed = _timed(revision, now)
    if len(there) >= min(revision.needed, wanted(revision)):
        return view.with_revision(target_ports.arrived(timed))
    outcome = _failed_if(view, timed, now, limits)
    if outcome.provisioning is not Provisioning.FAILED:
        return view.with_revision(timed)
    stays = replace(target_ports.staying(timed), attempt_since=now)
    app = view.existing_app()
    if target_ports.of_app(app) == revision.target_port:  # else a deploy has named another since
        view = view.with_app(_with_port_given_up(view, app, stays, outcome.message))
    return view.with_revision(stays)


def _with_port_given_up(view: AppView, app: App, stays: Revision, why: str) -> App:
    """The app after a revision stays at its port; it has that port only from the one it shows."""
    base, given_up = base_of(view), target_ports.of_app(app)
    if base is not None and base.name != stays.name:
        what = f"revision {stays.name} stays at port {stays.target_port}"
        return replace(app, problem=f"{what}: at {given_up}: {why}")
    what = f"target port {given_up} was taken back"
    return replace(target_ports.with_port(app, stays.target_port), problem=f"{what}: {why}")


# --- failing


def _timed(revision: Revision, now: float) -> Revision:
    """The revision with the moment from which its deadline counts, set at the first look.

    Commands know the wall clock only, and that may jump.
    """
    if revision.attempt_at == revision.activated_at:
        return revision
    return replace(revision, attempt_at=revision.activated_at, attempt_since=now)


def _failed_if(view: AppView, revision: Revision, now: float, limits: Limits) -> Revision:
    """The revision, failed when a replica is in a crash loop or its deadline is over."""
    looping = [
        r
        for r in view.of(revision.name)
        if r.state is ReplicaState.BACKOFF
        and r.restarts >= limits.crash_loop_exits
        and target_ports.is_current(r, revision)
    ]
    if looping:
        return _failed(revision, looping[0].reason or CRASH_LOOP, looping[0].message)
    if now >= revision.attempt_since + limits.progress_deadline_s:
        known = next((r.message for r in view.of(revision.name) if r.message), "")
        message = f"Deployment Progress Deadline Exceeded. {known}".rstrip()
        return _failed(revision, "ProgressDeadlineExceeded", message)
    return revision


def _failed(revision: Revision, reason: str, message: str) -> Revision:
    return replace(revision, provisioning=Provisioning.FAILED, reason=reason, message=message)

"""Which revisions are active, and which are kept. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from control.model import labels, secret_values, traffic
from control.model.errors import Conflict
from control.model.kinds import NO_LABEL, NO_REVISION, LabelName, RevisionName
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.template import Template
from control.rules import target_ports


def needed(view: AppView, app: App, template: Template, threshold: int) -> int:
    """How many ready replicas make it ready: as many as its predecessor runs.

    `threshold` is the percentage of them that is enough.
    """
    scale = template.scale
    if template.endpoints:
        return max(1, min(scale.min_replicas, len(template.endpoints)))
    previous = len(view.ready(app.serving)) if app.is_single and app.serving else 0
    wanted = max(1, min(max(previous, scale.min_replicas), scale.max_replicas))
    return math.ceil(wanted * threshold / 100)


def activate(view: AppView, name: RevisionName, now: float) -> AppView:
    """Bring a revision back, or try a failed one again; in single mode it takes over once ready."""
    app = view.existing_app()
    labels.refuse_by_hand(app, "put a label on the revision")
    if app.is_single and name != app.serving:
        app = replace(app, candidate=name, kept=name, updated_at=now)
    return wake(view.with_app(app), name, now)


def attempt(view: AppView, now: float, target_label: LabelName = NO_LABEL) -> AppView:
    """Try the latest revision again when it failed or rests. Raises Invalid without a label.

    It stays the same revision: its template is what was asked for, and its name is taken.
    """
    app = view.existing_app()
    latest = view.revisions[app.latest]
    if latest.is_active and latest.provisioning is not Provisioning.FAILED:
        return view
    if not labels.is_on(app):
        return activate(view, latest.name, now)
    if target_label or not labels.holds_one(app, latest.name):
        view = labels.aim(view, latest.name, target_label)
    return wake(view, latest.name, now)


def wake(view: AppView, name: RevisionName, now: float) -> AppView:
    """Start a revision that rests or has failed; who gets traffic is not changed."""
    app, revision = view.existing_app(), view.existing_revision(name)
    if revision.is_active and revision.provisioning is not Provisioning.FAILED:
        return view
    return view.with_app(app).with_revision(woken(revision, view, app, now))


def woken(revision: Revision, view: AppView, app: App, now: float) -> Revision:
    """The revision, active and on its way. Raises Invalid when a secret it needs is gone."""
    revision = target_ports.staying(revision)  # it rested on its way to a port, which may be wrong
    woken = replace(
        revision,
        is_active=True,
        # A failed one gets new replicas: those that it has pause for longer and longer.
        generation=revision.generation + revision.is_active,
        activated_at=now,
        provisioning=Provisioning.PROVISIONING,
        # An image that never worked may have been built anew; one that did is what comes back.
        images=revision.images if revision.has_been_ready else {},
        needed=needed(
            view, app, revision.template, app.configuration.revision_transition_threshold
        ),
        reason="",
        message="",
    )
    secret_values.check(app.configuration, [woken])
    return woken


def deactivate(view: AppView, name: RevisionName, now: float) -> AppView:
    """Send a revision to rest. Raises Conflict when that would take traffic to nowhere."""
    app, revision = view.existing_app(), view.existing_revision(name)
    labels.refuse_by_hand(app, "take the revision's label away")
    if not revision.is_active:
        return view
    weight = traffic.shares(view)[name].weight
    others = [r for r in view.revisions.values() if r.is_active and r.name != name]
    if weight and others and not (app.is_single and app.serving):
        raise Conflict(
            f"revision {name} has {weight} % of the traffic; move it first, for example: "
            f"turnout traffic set {app.name} --revision-weight {others[0].name}=100"
        )
    rules = traffic.without_revision(traffic.rules_of(app), name)
    if not any(rule.weight for rule in rules):
        rules = ()  # it was the only one; the default rule follows whichever is activated next
    view = view.with_app(app).with_revision(rested(revision, now))
    if app.configuration.ingress is not None:
        view = traffic.with_rules(view, rules, now)
    app = view.existing_app()
    serving = NO_REVISION if app.serving == name else app.serving
    candidate = NO_REVISION if app.candidate == name else app.candidate
    kept = NO_REVISION if app.kept == name else app.kept
    app = replace(app, serving=serving, candidate=candidate, kept=kept)
    view = purge(view.with_app(app))
    return view if revision.has_been_ready else target_ports.taken_back(view)


def rest(view: AppView, name: RevisionName, now: float) -> AppView:
    """Deactivate a revision. Raises Conflict when nobody would be left to answer."""
    app, revision = view.existing_app(), view.existing_revision(name)
    if app.is_single and app.serving == name and revision.is_active and not app.is_stopped:
        raise Conflict(
            f"revision {name} is the one that serves, and in single mode nobody would take over; "
            f"activate or deploy another, go back with: turnout rollback {app.name}, or take the "
            f"app down with: turnout app stop {app.name}"
        )
    return deactivate(view, name, now)


def under_way(view: AppView) -> Revision | None:
    """The revision that a rollback or a deploy waits for, until it is ready or has failed.

    Of several it is the newest.
    """
    app = view.existing_app()
    active = [r for r in view.revisions.values() if r.is_active]
    coming = [r for r in active if r.provisioning is Provisioning.PROVISIONING]
    awaited = [r for r in coming if _is_awaited(app, r)]
    if awaited:
        return max(awaited, key=lambda r: r.number)
    return next((r for r in active if r.leaving_port), None)


def _is_awaited(app: App, revision: Revision) -> bool:
    """Whether what comes up is a change, and not only started again with its app."""
    if app.restoring:
        return revision.name in app.restored
    if app.is_single:
        return revision.name == app.candidate
    return not revision.has_been_ready or revision.name in app.pending.values()


def cancel(view: AppView, now: float) -> AppView:
    """Give up what is under way; who serves goes on. Raises Conflict when there is nothing."""
    app, revision = view.existing_app(), under_way(view)
    if revision is None:
        raise Conflict(f"no deploy of app {app.name} is under way; {traffic.who_serves(view)}")
    if app.restoring:
        return _serving_on(without_rollback(view, now), now)
    if revision.leaving_port:
        revisions = {name: target_ports.staying(r) for name, r in view.revisions.items()}
        return target_ports.taken_back(replace(view, app=app, revisions=revisions))
    if labels.is_on(app):
        if labels.holds_one(app, revision.name):  # the first: there is none to leave the label to
            raise Conflict(
                f"revision {revision.name} has its label already, and nobody had it before; "
                f"deploy a corrected one, or: turnout app delete {app.name}"
            )
        pending = {label: name for label, name in app.pending.items() if name != revision.name}
        app = replace(app, pending=pending)
        return target_ports.taken_back(view.with_app(app).with_revision(rested(revision, now)))
    return target_ports.taken_back(_serving_on(deactivate(view, revision.name, now), now))


def _serving_on(view: AppView, now: float) -> AppView:
    """Who serves is awake: with `recreate` it rests, to make room for the one that was dropped."""
    serving = view.existing_app().serving
    return wake(view, serving, now) if serving in view.revisions else view


def without_rollback(view: AppView, now: float) -> AppView:
    """The view without a rollback that waits; what only it has woken rests again."""
    app = view.existing_app()
    if not app.restoring:
        return view
    shares = traffic.shares(view)

    def goes(revision: Revision) -> bool:
        share = shares.get(revision.name)
        return (
            revision.name in app.restored
            and revision.provisioning is not Provisioning.PROVISIONED
            and share is not None
            and not (share.weight or share.labels)
        )

    revisions = {n: rested(r, now) if goes(r) else r for n, r in view.revisions.items()}
    candidate = NO_REVISION if app.candidate in app.restored else app.candidate
    app = replace(app, restoring={}, candidate=candidate, updated_at=now)
    return target_ports.taken_back(purge(replace(view, app=app, revisions=revisions)))


def rested(revision: Revision, now: float) -> Revision:
    """The revision, inactive."""
    return replace(revision, is_active=False, last_active_at=now)


def restart(view: AppView, name: RevisionName, now: float) -> AppView:
    """Replace a revision's replicas one at a time; a failed one is tried again.

    Raises Conflict for an inactive one.
    """
    app, revision = view.existing_app(), view.existing_revision(name)
    if not revision.is_active:
        raise Conflict(f"revision {name} is inactive; activate it instead of restarting it")
    if revision.provisioning is Provisioning.FAILED and not labels.is_on(app):
        return activate(view, name, now)
    revision = target_ports.restarted(revision)
    return view.with_app(replace(app, updated_at=now)).with_revision(revision)


def set_stopped(view: AppView, now: float, *, is_stopped: bool) -> AppView:
    """Take all replicas of an app down, or bring them back."""
    app = view.existing_app()
    if app.is_stopped == is_stopped:
        return view
    if is_stopped:  # else a rollback would wait for what does not run
        view = without_rollback(view, now)
        app = view.existing_app()
    view = view.with_app(replace(app, is_stopped=is_stopped, updated_at=now))
    if not is_stopped:
        for revision in list(view.revisions.values()):
            if revision.is_active:  # ready once its replicas answer; the time for it starts anew
                started = replace(revision, activated_at=now)
                if revision.provisioning is Provisioning.PROVISIONED:
                    started = replace(started, provisioning=Provisioning.PROVISIONING)
                view = view.with_revision(started)
    return view


def purge(view: AppView) -> AppView:
    """Drop the oldest inactive revisions beyond the limit.

    What the app would be rolled back to stays, whatever the limit: terraform sends 0 for one that
    was not set.
    """
    app = view.app
    if app is None:
        return view
    rules = traffic.rules_of(app)
    labelled = {rule.revision_name for rule in rules if rule.label and rule.revision_name}
    inactive = sorted(
        (r for r in view.revisions.values() if not r.is_active),
        key=lambda r: r.number,
    )
    surplus = len(inactive) - app.configuration.max_inactive_revisions
    kept = {app.latest, app.latest_ready, app.serving, app.candidate, *labelled}
    kept |= _way_back(inactive)
    gone = [r.name for r in inactive if r.name not in kept][: max(0, surplus)]
    if not gone:
        return view
    rules = traffic.rules_of(app)
    for name in gone:
        rules = traffic.without_revision(rules, name)
    revisions = {name: r for name, r in view.revisions.items() if name not in gone}
    if app.configuration.ingress is not None and app.configuration.ingress.traffic:
        app = app.with_ingress(traffic=rules)
    return replace(view, app=app, revisions=revisions)


def _way_back(inactive: list[Revision]) -> set[RevisionName]:
    """The revisions that served until the last switch: those that rested together, and last.

    Also one that was to serve again and did not come up this time: it may the next.
    """
    ready = [r for r in inactive if r.has_been_ready]
    last = max((r.last_active_at for r in ready), default=0.0)
    return {r.name for r in ready if r.last_active_at == last}

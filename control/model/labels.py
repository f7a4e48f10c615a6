"""Labels mode: a revision is active because a label names it, or soon will.

Pure. A deploy says which label it is for (`targetLabel`). The label moves, with its weight, once
the new revision is ready, and a revision left without a label is deactivated.
"""

from __future__ import annotations

from dataclasses import replace

from control.model import traffic
from control.model.errors import Conflict, Invalid
from control.model.kinds import LabelName, RevisionName
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.schema import Ingress, TrafficRule


def is_on(app: App) -> bool:
    """Whether the app is in labels mode."""
    return app.configuration.active_revisions_mode == "labels"


def check(rules: traffic.Rules) -> None:
    """Check that every rule names a revision and a label (contract §6 rule 11). Raises Invalid."""
    if any(not rule.label or not rule.revision_name for rule in rules):
        raise Invalid(
            "in labels mode every traffic rule has a revisionName and a label",
            code="ContainerAppInvalidTrafficLabel",
        )


def entered(view: AppView, ingress: Ingress | None, target: LabelName) -> Ingress:
    """The ingress with which an app enters labels mode; `target` is the label given now.

    Raises Invalid when it is not clear which revision gets which label.
    """
    if ingress is None:
        raise Invalid("labels mode needs an ingress: a label is a host name")
    if ingress.traffic and all(rule.label and rule.revision_name for rule in ingress.traffic):
        return ingress
    serving = [name for name, share in traffic.shares(view).items() if share.weight]
    if not target or len(serving) != 1:
        raise Invalid(
            "labels mode needs a label on every traffic rule, or targetLabel while exactly one "
            f"revision has traffic (now: {', '.join(serving) or 'none'})",
            code="ContainerAppInvalidTrafficLabel",
        )
    rule = TrafficRule(revision_name=serving[0], weight=100, label=target)
    return ingress.model_copy(update={"traffic": (rule,)})


def awaited(app: App, target: LabelName) -> dict[LabelName, RevisionName]:
    """Labels for a candidate when an app leaves single mode before the candidate took over."""
    holder = traffic.holder(traffic.rules_of(app), target) if target else None
    is_moving = holder is not None and app.candidate not in ("", holder.revision_name)
    return {target: app.candidate} if is_moving else {}


def aim(view: AppView, revision: RevisionName, label: LabelName) -> AppView:
    """Let a revision have a label as soon as it is ready. Raises Invalid and Conflict."""
    app = view.app
    assert app is not None
    rules = traffic.rules_of(app)
    if any(rule.revision_name == revision and rule.label == label for rule in rules):
        return view
    if not label:
        known = ", ".join(sorted(rule.label for rule in rules if rule.label))
        raise Invalid(
            f"in labels mode a new revision is made for a label; give targetLabel (in use: {known})"
        )
    traffic.check_label(label, app.name)
    if any(rule.revision_name == revision for rule in rules):
        raise Conflict(f"revision {revision} has a label already; swap labels instead")
    return view.with_app(replace(app, pending={**app.pending, label: revision}))


def holds_one(app: App, revision: RevisionName) -> bool:
    """Whether a label names the revision."""
    return any(rule.revision_name == revision for rule in traffic.rules_of(app) if rule.label)


def refuse_by_hand(app: App, what: str) -> None:
    """Raise Conflict in labels mode, where only labels decide which revisions are active."""
    if is_on(app):
        raise Conflict(
            f"in labels mode labels decide which revisions are active; {what} instead: "
            f"turnout label --help, or switch: turnout revision set-mode {app.name} --mode multiple"
        )


def without_label(app: App, label: LabelName) -> traffic.Rules:
    """The traffic rules without a label. Raises Conflict while the label has weight."""
    rules = traffic.rules_of(app)
    found = traffic.holder(rules, label)
    if found is not None and found.weight:
        raise Conflict(f"label {label} has {found.weight} % of the traffic; move it first")
    return tuple(rule for rule in rules if rule is not found)


def intended(app: App) -> traffic.Rules:
    """The traffic rules as they will be once every pending label has moved."""
    rules = traffic.rules_of(app)
    for label, name in app.pending.items():
        rules = _moved(rules, label, name)
    return rules


def settle(view: AppView, now: float) -> AppView:
    """Move the labels of revisions that are ready, and deactivate revisions without a label."""
    app = view.app
    if app is None or not is_on(app):
        return view
    rules, pending, kept = traffic.rules_of(app), dict(app.pending), app.kept
    for label, name in app.pending.items():
        revision = view.revisions.get(name)
        if revision is None or revision.provisioning is Provisioning.FAILED:
            del pending[label]  # a failed deploy never takes over, even if it recovers later
        elif revision.provisioning is Provisioning.PROVISIONED:
            del pending[label]
            holder = traffic.holder(rules, label)
            kept = name if holder is not None and holder.weight else kept
            rules = _moved(rules, label, name)
    app = replace(app, pending=pending, kept=kept)
    if rules != traffic.rules_of(app):
        app = app.with_ingress(traffic=rules)
    wanted = {*pending.values(), *(rule.revision_name for rule in rules), *app.restored}
    revisions = {
        name: _rested(r, now) if r.is_active and not _stays(r, app, wanted) else r
        for name, r in view.revisions.items()
    }
    return replace(view, app=app, revisions=revisions)


def _stays(revision: Revision, app: App, wanted: set[RevisionName | None]) -> bool:
    is_evidence = revision.name == app.latest and revision.provisioning is Provisioning.FAILED
    return revision.name in wanted or is_evidence


def _moved(rules: traffic.Rules, label: LabelName, revision: RevisionName) -> traffic.Rules:
    found = traffic.holder(rules, label)
    if found is None:
        return (*rules, TrafficRule(revision_name=revision, weight=0, label=label))
    moved = found.model_copy(update={"revision_name": revision})
    return tuple(moved if rule is found else rule for rule in rules)


def _rested(revision: Revision, now: float) -> Revision:
    return replace(revision, is_active=False, last_active_at=now)

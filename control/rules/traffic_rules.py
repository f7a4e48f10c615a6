"""Setting traffic rules and moving labels: who gets which requests. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.history import label_history
from control.model import labels, traffic
from control.model.errors import Conflict, NotFound
from control.model.kinds import NO_REVISION, LabelName, RevisionName, folded
from control.model.resources import AppView
from control.rules.activation import woken


def set_traffic(view: AppView, rules: traffic.Rules, now: float) -> AppView:
    """Replace the whole rule list."""
    app = view.existing_app()
    if app.is_single:
        traffic.check_single(rules, app.name)
    else:
        traffic.check(rules, app.name, view.revisions)
        if labels.is_on(app):
            labels.check(rules)
    view = traffic.with_rules(view, rules, now)
    return view.with_app(replace(view.existing_app(), kept=NO_REVISION))


def add_label(view: AppView, label: LabelName, revision: RevisionName, now: float) -> AppView:
    """Put a label on a revision, taking it from whoever holds it; weights stay."""
    app = view.existing_app()
    traffic.check_label(label, app.name)
    if app.is_single:
        raise Conflict(
            "labels need multiple revisions; switch first: "
            f"turnout revision set-mode {app.name} --mode multiple"
        )
    found = view.existing_revision(revision)
    if labels.is_on(app):
        view = labels.aim(view, revision, folded(label))
        if found.is_active:
            return view
        return view.with_revision(woken(found, view, app, now))
    rules = traffic.with_label(traffic.rules_of(app), folded(label), found)
    return traffic.with_rules(view, rules, now)


def remove_label(view: AppView, label: LabelName, now: float) -> AppView:
    """Take a label away. Raises NotFound when nobody holds it."""
    app = view.existing_app()
    rules = traffic.rules_of(app)
    if traffic.holder(rules, label) is None:
        raise NotFound(f"no revision of {app.name} holds the label {label}")
    if labels.is_on(app):
        return traffic.with_rules(view, labels.without_label(app, label), now)
    return traffic.with_rules(view, traffic.without_label(rules, label), now)


def swap_labels(view: AppView, first: LabelName, second: LabelName, now: float) -> AppView:
    """Exchange two labels in one write."""
    app = view.existing_app()
    return traffic.with_rules(view, traffic.with_swapped(traffic.rules_of(app), first, second), now)


def forget_label(view: AppView, label: LabelName) -> AppView:
    """Drop a label's past; what it names now stays on record."""
    app = view.existing_app()
    if label not in app.label_history:
        raise NotFound(f"app {app.name} has no history of a label {label}")
    return view.with_app(label_history.without(app, label))

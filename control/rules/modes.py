"""What a switch between the modes single, multiple and labels does: a table, and its rules. Pure.

`traffic` decides which rules the ingress has after the write, and `then` what becomes of who
serves. Their docstrings are the table in README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from control.model import labels, traffic
from control.model.errors import Invalid
from control.model.kinds import NO_REVISION, LabelName, RevisionName
from control.model.records import Restoring
from control.model.resources import App, AppView
from control.model.schema import Configuration, Ingress, Mode, TrafficRule
from control.rules.activation import wake


class Transition(NamedTuple):
    """What a write does that finds an app in one mode and names another, or the same."""

    traffic: Callable[[AppView, Configuration], Ingress | None]
    then: Callable[[AppView, LabelName, float], AppView]  # with `targetLabel`, and what time it is


# --- the traffic rules that the app has afterwards


def _default_alone(view: AppView, configuration: Configuration) -> Ingress | None:
    """the default rule alone, labelled or not"""
    app, ingress = view.existing_app(), _repeated(view, configuration)
    old = app.configuration.ingress
    if ingress is None:
        return None
    # While the switch waits for a revision the old split is in force, and GET shows it.
    is_waiting = app.serving == "" and old is not None and ingress.wire_rules == old.wire_rules
    if not is_waiting:
        traffic.check_single(ingress.traffic, app.name)
    return ingress


def _kept_until_the_switch(view: AppView, configuration: Configuration) -> Ingress | None:
    """the present ones, until the revision that is kept is ready; what is given is ignored"""
    # az PUTs the old weights back as it switches (contract §6 rule 9).
    app, old = view.existing_app(), view.existing_app().configuration.ingress
    if configuration.ingress is None:
        return None
    kept = old.traffic if old is not None and app.serving == "" else ()
    return configuration.ingress.model_copy(update={"traffic": kept})


def _given(view: AppView, configuration: Configuration) -> Ingress | None:
    """as given, else the present ones"""
    ingress = _repeated(view, configuration)
    if ingress is not None:
        traffic.check(ingress.traffic, view.existing_app().name, view.revisions)
    return ingress


def _labelled(view: AppView, configuration: Configuration) -> Ingress | None:
    """as given, else the present ones; each names a revision and a label"""
    ingress = _given(view, configuration)
    if ingress is None:
        raise Invalid("labels mode needs an ingress; switch the mode before you disable it")
    labels.check(ingress.traffic)
    return ingress


def _labelled_now(view: AppView, configuration: Configuration) -> Ingress | None:
    """each names a revision and a label, or `targetLabel` is for the one with all traffic"""
    app, target = view.existing_app(), configuration.target_label
    ingress = labels.entered(view, configuration.ingress or app.configuration.ingress, target)
    traffic.check(ingress.traffic, app.name, view.revisions)
    return ingress


def _repeated(view: AppView, configuration: Configuration) -> Ingress | None:
    """PUT replaces, except that a split is not lost by not being repeated."""
    ingress, old = configuration.ingress, view.existing_app().configuration.ingress
    if ingress is None or ingress.traffic or old is None:
        return ingress
    return ingress.model_copy(update={"traffic": old.traffic})


# --- who serves afterwards


def _as_before(view: AppView, target: LabelName, now: float) -> AppView:
    """all go on as they are"""
    return view


def _one_is_kept(view: AppView, target: LabelName, now: float) -> AppView:
    """the latest ready revision is kept, or the one that a rollback chose: activated first if it
    rests, it takes over once it is ready, and the others rest then; labels on their way are dropped
    """
    app = replace(view.existing_app(), pending={})
    if app.revisions_made == 0:
        return view.with_app(app)
    keep = app.kept if app.kept in view.revisions else app.latest_ready or app.latest
    return wake(view.with_app(replace(app, serving=NO_REVISION, candidate=keep)), keep, now)


def _who_serves_has_a_rule(view: AppView, target: LabelName, now: float) -> AppView:
    """who serves goes on serving, by a rule of its own if `latestRevision` would be another; who
    was activated by hand gets all traffic once it is ready
    """
    app = view.existing_app()
    ingress = app.configuration.ingress
    follows_latest = ingress is None or not ingress.traffic or ingress.traffic[0].latest_revision
    serves = app.serving in view.revisions and view.revisions[app.serving].is_active
    latest = {traffic.latest_ready(view), app.latest_ready}  # who gets all, or would once active
    if follows_latest and serves and latest != {app.serving}:
        app = app.with_ingress(traffic=(TrafficRule(revision_name=app.serving, weight=100),))
    is_chosen = app.candidate and app.candidate in {app.kept, *app.restored}
    restoring = _all_to(app, app.candidate) if is_chosen else {}
    return view.with_app(
        replace(app, serving=NO_REVISION, candidate=NO_REVISION, restoring=restoring, pending={})
    )


def _label_follows(view: AppView, target: LabelName, now: float) -> AppView:
    """who serves has the label; a revision that is about to take over gets it once it is ready"""
    app = view.existing_app()
    pending = labels.awaited(app, target)
    return view.with_app(replace(app, serving=NO_REVISION, candidate=NO_REVISION, pending=pending))


def _labels_stay(view: AppView, target: LabelName, now: float) -> AppView:
    """all go on, labels stay where they are; those on their way are dropped"""
    return view.with_app(replace(view.existing_app(), pending={}))


def _all_to(app: App, revision: RevisionName) -> Restoring:
    """What a rollback waits for (`rollback.py`): the revision ready, to give it all traffic."""
    if app.configuration.ingress is None:
        return {}
    configuration = app.configuration.model_dump(mode="json", exclude={"secrets"})
    configuration["ingress"]["traffic"] = [{"revision_name": revision, "weight": 100}]
    return {"configuration": configuration, "needs": [revision]}


TRANSITIONS: dict[tuple[Mode, Mode], Transition] = {
    ("single", "single"): Transition(_default_alone, _as_before),
    ("single", "multiple"): Transition(_given, _who_serves_has_a_rule),
    ("single", "labels"): Transition(_labelled_now, _label_follows),
    ("multiple", "single"): Transition(_kept_until_the_switch, _one_is_kept),
    ("multiple", "multiple"): Transition(_given, _as_before),
    ("multiple", "labels"): Transition(_labelled_now, _as_before),
    ("labels", "single"): Transition(_kept_until_the_switch, _one_is_kept),
    ("labels", "multiple"): Transition(_given, _labels_stay),
    ("labels", "labels"): Transition(_labelled, _as_before),
}

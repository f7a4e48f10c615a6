"""Which revision a label named, and when: ACA's label history. Pure.

It is kept with the app and follows from two views, so whatever moves a label leaves a record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from control.model import traffic
from control.model.kinds import LabelName, RevisionName, folded
from control.model.records import Stint
from control.model.resources import App, AppView

_KEPT = 100  # records of one label; the oldest go first
_KEPT_LABELS = 100  # of one app; a label per pull request would grow its record without end
_STARTING, _SUCCEEDED, _FAILED = "Starting", "Succeeded", "Failed"


def follow(old: AppView, new: AppView, now: float) -> AppView:
    """The new view, with what became of the labels written down."""
    if new.app is None or new.app is old.app:
        return new
    held, awaited = _held(new), new.app.pending
    if old.app is not None and (held, awaited) == (_held(old), old.app.pending):
        return new
    history = dict(new.app.label_history)
    for label in {*history, *held, *awaited}:
        stints = list(_written(history.get(label, []), held.get(label), awaited.get(label), now))
        history[label] = stints[-_KEPT:]
    history = _bounded(history)
    return new.with_app(replace(new.app, label_history=history))


def _bounded(history: dict[LabelName, list[Stint]]) -> dict[LabelName, list[Stint]]:
    """Without the labels that were used longest ago; those in use stay."""
    surplus = len(history) - _KEPT_LABELS
    if surplus <= 0:
        return history
    ends = {label: stints[-1].get("stop") for label, stints in history.items() if stints}
    ended = sorted((stop, label) for label, stop in ends.items() if stop is not None)
    gone = {label for _, label in ended[:surplus]}
    return {label: stints for label, stints in history.items() if label not in gone}


def without(app: App, label: LabelName) -> App:
    """The app with a label's past forgotten, except for what still holds."""
    history = dict(app.label_history)
    kept = [stint for stint in history.pop(label, []) if "stop" not in stint]
    return replace(app, label_history=history | ({label: kept} if kept else {}))


def _held(view: AppView) -> dict[LabelName, RevisionName]:
    assert view.app is not None
    latest = traffic.latest_ready(view)
    rules = traffic.rules_of(view.app)
    return {folded(rule.label): rule.revision_name or latest for rule in rules if rule.label}


def _written(
    stints: Iterable[Stint],
    holder: RevisionName | None,
    awaited: RevisionName | None,
    now: float,
) -> Iterable[Stint]:
    for stint in stints:
        if "stop" in stint:
            yield stint
        elif stint["revision"] == holder:
            yield {**stint, "status": _SUCCEEDED}
            holder = None
        elif stint["status"] == _STARTING and stint["revision"] == awaited:
            yield stint
            awaited = None
        else:
            status = _FAILED if stint["status"] == _STARTING else stint["status"]
            yield {**stint, "status": status, "stop": now}
    if holder is not None:
        yield {"revision": holder, "start": now, "status": _SUCCEEDED}
    if awaited is not None:
        yield {"revision": awaited, "start": now, "status": _STARTING}

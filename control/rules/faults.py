"""Faults on purpose: some of a revision's requests are delayed or answered with an error. Pure.

What is kept of one are the fields of `router.snapshot.Fault`, and `ends_at`: its end by the steady
clock, as the wall clock may jump.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from control.model.clock import Moment
from control.model.errors import Conflict, NotFound
from control.model.kinds import RevisionName
from control.model.resources import AppView
from router.contract.snapshot import Fault


def set_fault(
    view: AppView, revision: RevisionName, fault: Fault, ends_at: float, now: float
) -> AppView:
    """Let a fault act on an active revision until its time is over."""
    app, found = view.existing_app(), view.existing_revision(revision)
    if not found.is_active:
        raise Conflict(f"revision {revision} is inactive; a fault would act on nothing")
    faults = {**app.faults, revision: asdict(fault) | {"ends_at": ends_at}}
    return view.with_app(replace(app, faults=faults, updated_at=now))


def clear_fault(view: AppView, revision: RevisionName, now: float) -> AppView:
    """End a fault at once. Raises NotFound."""
    app = view.existing_app()
    if revision not in app.faults:
        raise NotFound(f"no fault acts on revision {revision}")
    faults = {name: fault for name, fault in app.faults.items() if name != revision}
    return view.with_app(replace(app, faults=faults, updated_at=now))


def sent(kept: dict[str, Any]) -> Fault:
    """What routers are told of a fault."""
    return Fault(**{key: value for key, value in kept.items() if key != "ends_at"})


def without_ended(view: AppView, now: float) -> AppView:
    """The view without faults whose time is over (`now` is steady) or whose revision rests."""
    app = view.app
    if app is None or not app.faults:
        return view
    left = {
        name: fault
        for name, fault in app.faults.items()
        if fault["ends_at"] > now and name in view.revisions and view.revisions[name].is_active
    }
    return view if len(left) == len(app.faults) else view.with_app(replace(app, faults=left))


def after_start(view: AppView, now: Moment, *, is_same_boot: bool) -> AppView:
    """A view whose faults end by the clock of this boot; after another, the wall clock tells."""
    app = view.app
    if app is None or not app.faults or not isinstance(app.faults, dict):
        return view
    faults = {name: _counted(fault, now, is_same_boot) for name, fault in app.faults.items()}
    return view.with_app(replace(app, faults=faults))


def _counted(fault: Any, now: Moment, is_same_boot: bool) -> Any:
    try:
        by_wall = fault["until"] - now.wall
        left = fault.get("ends_at", now.steady + by_wall) - now.steady if is_same_boot else by_wall
        # A virtual machine may be set back, and the wall clock: no fault is longer than it was.
        return fault | {"ends_at": now.steady + min(left, fault.get("seconds") or left)}
    except (TypeError, KeyError, AttributeError):
        return fault  # its plan fails, and says so

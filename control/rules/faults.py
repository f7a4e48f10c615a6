"""Faults on purpose: some of a revision's requests are delayed or answered with an error. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control.model.clock import Moment
from control.model.errors import Conflict, NotFound
from control.model.kinds import RevisionName
from control.model.records import FaultKept
from control.model.resources import AppView
from router.contract.snapshot import Fault


def set_fault(
    view: AppView, revision: RevisionName, fault: Fault, ends_at: float, now: float
) -> AppView:
    """Let a fault act on an active revision until its time is over."""
    app, found = view.existing_app(), view.existing_revision(revision)
    if not found.is_active:
        raise Conflict(f"revision {revision} is inactive; a fault would act on nothing")
    kept = FaultKept(
        until=fault.until,
        delay_ms=fault.delay_ms,
        delay_percent=fault.delay_percent,
        abort_status=fault.abort_status,
        abort_percent=fault.abort_percent,
        seconds=fault.seconds,
        ends_at=ends_at,
    )
    faults = {**app.faults, revision: kept}
    return view.with_app(replace(app, faults=faults, updated_at=now))


def clear_fault(view: AppView, revision: RevisionName, now: float) -> AppView:
    """End a fault at once. Raises NotFound."""
    app = view.existing_app()
    if revision not in app.faults:
        raise NotFound(f"no fault acts on revision {revision}")
    faults = {name: fault for name, fault in app.faults.items() if name != revision}
    return view.with_app(replace(app, faults=faults, updated_at=now))


def sent(kept: FaultKept) -> Fault:
    """What routers are told of a fault."""
    return Fault(
        kept["until"],
        kept["delay_ms"],
        kept["delay_percent"],
        kept["abort_status"],
        kept["abort_percent"],
        kept.get("seconds", 0.0),
    )


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

"""Faults on purpose: some of a revision's requests are delayed or answered with an error. Pure."""

from __future__ import annotations

from dataclasses import asdict, replace

from control.commands import steps
from control.errors import Conflict, NotFound
from control.resources import AppView
from router.snapshot import Fault


def set_fault(view: AppView, revision: str, fault: Fault, now: float) -> AppView:
    """Let a fault act on an active revision until its time is over."""
    app, found = steps.app_of(view), steps.revision_of(view, revision)
    if not found.is_active:
        raise Conflict(f"revision {revision} is inactive; a fault would act on nothing")
    faults = {**app.faults, revision: asdict(fault)}
    return steps.replace_app(view, replace(app, faults=faults, updated_at=now))


def clear_fault(view: AppView, revision: str, now: float) -> AppView:
    """End a fault at once. Raises NotFound."""
    app = steps.app_of(view)
    if revision not in app.faults:
        raise NotFound(f"no fault acts on revision {revision}")
    faults = {name: fault for name, fault in app.faults.items() if name != revision}
    return steps.replace_app(view, replace(app, faults=faults, updated_at=now))


def expire(view: AppView, now: float) -> tuple[AppView, float]:
    """Without faults whose time is over or whose revision rests; and when the next one ends."""
    app = view.app
    if app is None or not app.faults:
        return view, float("inf")
    left = {
        name: fault
        for name, fault in app.faults.items()
        if fault["until"] > now and name in view.revisions and view.revisions[name].is_active
    }
    ends_at = min((fault["until"] for fault in left.values()), default=float("inf"))
    if len(left) == len(app.faults):
        return view, ends_at
    return steps.replace_app(view, replace(app, faults=left)), ends_at

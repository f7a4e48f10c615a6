"""What somebody asks to rest, which may be all that an app has. Pure."""

from __future__ import annotations

from control.model.errors import Conflict
from control.model.resources import AppView
from control.rules import activation


def rest(view: AppView, name: str, now: float) -> AppView:
    """Deactivate a revision. Raises Conflict when nobody would be left to answer."""
    app, revision = view.existing_app(), view.existing_revision(name)
    if app.is_single and app.serving == name and revision.is_active and not app.is_stopped:
        raise Conflict(
            f"revision {name} is the one that serves, and in single mode nobody would take over; "
            f"activate or deploy another, go back with: turnout rollback {app.name}, or take the "
            f"app down with: turnout app stop {app.name}"
        )
    return activation.deactivate(view, name, now)

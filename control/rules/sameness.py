"""Whether a change changes anything. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.model.resources import AppView


def is_same(old: AppView, new: AppView) -> bool:
    """Whether a command changed nothing: a default that is spelled out is no change either."""
    if old.app is None or new.app is None:
        return old.app is new.app
    if old.revisions != new.revisions:
        return False
    if old.app == new.app:
        return True
    unchanged = replace(new.app, updated_at=old.app.updated_at, configuration=old.app.configuration)
    was, now = old.app.configuration, new.app.configuration
    return unchanged == old.app and was.wire() == now.wire() and was.secrets == now.secrets

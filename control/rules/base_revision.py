"""What the next deploy builds on: what serves or is about to, never what failed or was dropped.

GET shows its template, and a client changes that. Pure.
"""

from __future__ import annotations

from control.model import traffic
from control.model.resources import AppView, Provisioning, Revision


def base_of(view: AppView) -> Revision | None:
    """The revision whose template the app shows; None when there is none at all."""
    app = view.app
    if app is None:
        return None
    latest = view.revisions.get(app.latest)
    if app.is_single:
        names = (app.candidate, app.serving)
        found = [r for name in names if (r := view.revisions.get(name)) is not None]
        return next((r for r in found if _is_hopeful(r)), next(reversed(found), latest))
    kept = view.revisions.get(app.kept)
    if kept is not None and kept.is_active:
        return kept  # a rollback chose it over the latest
    if latest is not None and _is_hopeful(latest):
        return latest
    weighted = [view.revisions[name] for name, s in traffic.shares(view).items() if s.weight]
    return max(weighted, key=lambda r: r.number, default=latest)


def _is_hopeful(revision: Revision) -> bool:
    return revision.is_active and revision.provisioning is not Provisioning.FAILED

"""Small steps that commands are made of. Pure."""

from __future__ import annotations

from dataclasses import replace

from control.model import traffic
from control.model.errors import Conflict, NotFound, no_revision
from control.model.resources import App, AppView, Revision
from control.model.schema import Ingress


def app_of(view: AppView) -> App:
    """The app. Raises NotFound."""
    if view.app is None:
        raise NotFound("there is no such app")
    return view.app


def revision_of(view: AppView, name: str) -> Revision:
    """One of its revisions. Raises NotFound."""
    revision = view.revisions.get(name)
    if revision is None:
        raise no_revision(app_of(view).name, name, view.revisions)
    return revision


def replace_app(view: AppView, app: App) -> AppView:
    """The view with another App in it."""
    return AppView(app, view.revisions, view.replicas)


def with_revision(view: AppView, app: App, revision: Revision) -> AppView:
    """The view with another App and one changed or added revision."""
    return AppView(app, {**view.revisions, revision.name: revision}, view.replicas)


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


def with_ingress(app: App, ingress: Ingress) -> App:
    """The app with another ingress."""
    configuration = app.configuration.model_copy(update={"ingress": ingress})
    return replace(app, configuration=configuration)


def with_rules(view: AppView, rules: traffic.Rules, now: float) -> AppView:
    """The view with other traffic rules. Raises Conflict without an ingress."""
    app = app_of(view)
    ingress = app.configuration.ingress
    if ingress is None:
        raise Conflict(f"app {app.name} has no ingress, so it has no traffic to set")
    app = with_ingress(app, ingress.model_copy(update={"traffic": rules}))
    return replace_app(view, replace(app, updated_at=now))

"""Application scope: settings and modes; no revision is made, all are concerned at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control.model import secret_values
from control.model.errors import NotFound
from control.model.kinds import NO_LABEL, NO_REVISION, LabelName
from control.model.resources import AppView
from control.model.schema import Configuration, Ingress, Secret
from control.rules import target_ports
from control.rules.activation import purge
from control.rules.modes import TRANSITIONS


def configure(view: AppView, configuration: Configuration, now: float) -> AppView:
    """Replace the app-scope settings, of which the mode may be one."""
    app = view.existing_app()
    configuration = secret_values.filled(configuration, app.configuration)
    secret_values.check(configuration, view.revisions.values())
    old, given = app.configuration, configuration.ingress
    transition = TRANSITIONS[old.active_revisions_mode, configuration.active_revisions_mode]
    ingress = transition.traffic(view, configuration)
    kept = app.kept if _keeps_split(given, old.ingress) else NO_REVISION
    target = configuration.target_label
    configuration = configuration.model_copy(update={"target_label": "", "ingress": ingress})
    new = replace(app, configuration=configuration, updated_at=now, kept=kept)
    if target_ports.of_app(new) != target_ports.of_app(app):
        view = target_ports.noted(view)
    return purge(transition.then(view.with_app(new), target, now))


def _keeps_split(new: Ingress | None, old: Ingress | None) -> bool:
    """Whether a write says nothing new about traffic, so that a rollback's choice still holds."""
    if new is None or old is None or not new.traffic:
        return True
    return new.wire_rules == old.wire_rules


def set_secrets(view: AppView, values: Mapping[str, str], now: float) -> AppView:
    """Add secrets or replace their values; what runs sees them after a restart."""
    app = view.existing_app()
    merged = {**app.configuration.secret_values, **values}
    secrets = tuple(Secret(name=name, value=value) for name, value in merged.items())
    return _with_secrets(view, secrets, now)


def remove_secret(view: AppView, name: str, now: float) -> AppView:
    """Take a secret away. Raises NotFound; Invalid while something needs it."""
    app = view.existing_app()
    kept = tuple(secret for secret in app.configuration.secrets if secret.name != name)
    if len(kept) == len(app.configuration.secrets):
        raise NotFound(f"app {app.name} has no secret {name}")
    return _with_secrets(view, kept, now)


def _with_secrets(view: AppView, secrets: tuple[Secret, ...], now: float) -> AppView:
    app = view.existing_app()
    configuration = app.configuration.model_copy(update={"secrets": secrets})
    secret_values.check(configuration, view.revisions.values())
    return view.with_app(replace(app, configuration=configuration, updated_at=now))


def set_mode(view: AppView, mode: str, now: float, target_label: LabelName = NO_LABEL) -> AppView:
    """Switch the mode alone; `target_label` for the revision that serves, into labels mode."""
    app = view.existing_app()
    body = app.configuration.model_dump()
    body["active_revisions_mode"] = mode
    body["target_label"] = target_label
    return configure(view, Configuration.model_validate(body), now)

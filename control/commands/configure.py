"""Application scope: settings and modes; no revision is made, all are concerned at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control import labels, traffic, vault
from control.commands import steps
from control.commands.life import purge, woken
from control.errors import Invalid, NotFound
from control.resources import AppView
from control.schema import Configuration, Secret, TrafficRule


def configure(view: AppView, configuration: Configuration, now: float) -> AppView:
    """Replace the app-scope settings; no revision is made, all are concerned at once."""
    app = view.app
    assert app is not None
    was_single, is_single = app.is_single, configuration.active_revisions_mode == "single"
    old = app.configuration.ingress
    ingress = configuration.ingress
    configuration = vault.filled(configuration, app.configuration)
    vault.check(configuration, view.revisions.values())
    target = configuration.target_label
    configuration = configuration.model_copy(update={"target_label": ""})
    is_labels = configuration.active_revisions_mode == "labels"
    if is_labels and not labels.is_on(app):
        ingress = labels.entered(view, ingress or old, target)
        traffic.check(ingress.traffic, app.name, view.revisions)
        configuration = configuration.model_copy(update={"ingress": ingress})
    elif is_labels and ingress is None:
        raise Invalid("labels mode needs an ingress; switch the mode before you disable it")
    elif ingress is not None:
        if not ingress.traffic and old is not None:
            # PUT replaces, except that a split is not lost by not being repeated (contract §10)
            ingress = ingress.model_copy(update={"traffic": old.traffic})
        if is_single and not was_single and app.serving == "" and old is not None:
            # az PUTs the old weights back as it switches: they stay until the switch (§6 rule 9)
            ingress = ingress.model_copy(update={"traffic": old.traffic})
        elif is_single and was_single:
            traffic.check_single(ingress.traffic, app.name)
        elif is_single:
            ingress = ingress.model_copy(update={"traffic": ()})
        else:
            traffic.check(ingress.traffic, app.name, view.revisions)
            if is_labels:
                labels.check(ingress.traffic)
        configuration = configuration.model_copy(update={"ingress": ingress})
    pending = app.pending if is_labels else {}
    app = replace(app, configuration=configuration, updated_at=now, pending=pending)
    view = steps.replace_app(view, app)
    if was_single and is_labels:
        view = steps.replace_app(view, replace(app, serving="", candidate=""))
    elif was_single and not is_single:
        view = _leave_single(view)
    elif is_single and not was_single and app.revisions_made > 0:
        view = _enter_single(view, now)
    return purge(view)


def set_secrets(view: AppView, values: Mapping[str, str], now: float) -> AppView:
    """Add secrets or replace their values; what runs sees them after a restart."""
    app = steps.app_of(view)
    merged = {**app.configuration.secret_values, **values}
    secrets = tuple(Secret(name=name, value=value) for name, value in merged.items())
    return _with_secrets(view, secrets, now)


def remove_secret(view: AppView, name: str, now: float) -> AppView:
    """Take a secret away. Raises NotFound; Invalid while something needs it."""
    app = steps.app_of(view)
    kept = tuple(secret for secret in app.configuration.secrets if secret.name != name)
    if len(kept) == len(app.configuration.secrets):
        raise NotFound(f"app {app.name} has no secret {name}")
    return _with_secrets(view, kept, now)


def _with_secrets(view: AppView, secrets: tuple[Secret, ...], now: float) -> AppView:
    app = steps.app_of(view)
    configuration = app.configuration.model_copy(update={"secrets": secrets})
    vault.check(configuration, view.revisions.values())
    return steps.replace_app(view, replace(app, configuration=configuration, updated_at=now))


def _leave_single(view: AppView) -> AppView:
    """What serves goes on serving; nothing else changes (contract §5)."""
    app = steps.app_of(view)
    ingress = app.configuration.ingress
    follows_latest = ingress is None or not ingress.traffic or ingress.traffic[0].latest_revision
    if follows_latest and app.serving and app.serving != traffic.latest_ready(view):
        pinned = (TrafficRule(revision_name=app.serving, weight=100),)
        view = steps.with_rules(view, pinned, app.updated_at) if ingress is not None else view
    return steps.replace_app(view, replace(steps.app_of(view), serving="", candidate=""))


def _enter_single(view: AppView, now: float) -> AppView:
    """Keep the latest ready revision: activated first if need be, switched to once ready (§5)."""
    app = view.app
    assert app is not None
    keep = app.latest_ready or app.latest
    revision = view.revisions[keep]
    app = replace(app, serving="", candidate=keep)
    return steps.with_revision(
        view, app, revision if revision.is_active else woken(revision, view, app, now)
    )


def set_mode(view: AppView, mode: str, now: float, target_label: str = "") -> AppView:
    """Switch the mode alone; `target_label` for the revision that serves, into labels mode."""
    app = steps.app_of(view)
    body = app.configuration.model_dump()
    body["active_revisions_mode"] = mode
    body["target_label"] = target_label
    return configure(view, Configuration.model_validate(body), now)

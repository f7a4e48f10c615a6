"""Application scope: settings and modes; no revision is made, all are concerned at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control.model import labels, secret_values, traffic
from control.model.errors import Invalid, NotFound
from control.model.resources import App, AppView
from control.model.schema import Configuration, Ingress, Secret, TrafficRule
from control.rules import target_ports
from control.rules.activation import purge, wake


def configure(view: AppView, configuration: Configuration, now: float) -> AppView:
    """Replace the app-scope settings; no revision is made, all are concerned at once."""
    app = view.app
    assert app is not None
    was_single, is_single = app.is_single, configuration.active_revisions_mode == "single"
    was_labels, is_labels = labels.is_on(app), configuration.active_revisions_mode == "labels"
    configuration = secret_values.filled(configuration, app.configuration)
    secret_values.check(configuration, view.revisions.values())
    target, given = configuration.target_label, configuration.ingress
    old = app.configuration.ingress
    ingress: Ingress | None
    if is_labels and not was_labels:
        ingress = labels.entered(view, given or old, target)
        traffic.check(ingress.traffic, app.name, view.revisions)
    else:
        ingress = _checked(view, configuration)
    configuration = configuration.model_copy(update={"target_label": "", "ingress": ingress})
    new_app = replace(app, configuration=configuration)
    if target_ports.of_app(new_app) != target_ports.of_app(app):
        view = target_ports.kept(view)
    app = replace(
        new_app,
        updated_at=now,
        pending=app.pending if is_labels else {},
        kept=app.kept if _keeps_split(given, old) else "",
    )
    if was_single and is_labels:
        app = replace(app, serving="", candidate="", pending=labels.awaited(app, target))
    view = view.with_app(app)
    if was_single and not is_single and not is_labels:
        view = _leave_single(view)
    elif is_single and not was_single and app.revisions_made > 0:
        view = _enter_single(view, now)
    return purge(view)


def _checked(view: AppView, configuration: Configuration) -> Ingress | None:
    """The ingress with the traffic rules that its mode has. Raises Invalid."""
    app, ingress = view.existing_app(), configuration.ingress
    old, mode = app.configuration.ingress, configuration.active_revisions_mode
    if ingress is None:
        if mode == "labels":
            raise Invalid("labels mode needs an ingress; switch the mode before you disable it")
        return None
    if not ingress.traffic and old is not None:
        # PUT replaces, except that a split is not lost by not being repeated
        ingress = ingress.model_copy(update={"traffic": old.traffic})
    if mode != "single":
        traffic.check(ingress.traffic, app.name, view.revisions)
        if mode == "labels":
            labels.check(ingress.traffic)
        return ingress
    if not app.is_single:
        # az PUTs the old weights back as it switches: they stay until the switch
        # (contract §6 rule 9)
        kept = old.traffic if old is not None and app.serving == "" else ()
        return ingress.model_copy(update={"traffic": kept})
    is_waiting = app.serving == "" and old is not None and ingress.wire_rules == old.wire_rules
    if not is_waiting:  # else the old split is in force, and GET shows it
        traffic.check_single(ingress.traffic, app.name)
    return ingress


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


def _keeps_split(new: Ingress | None, old: Ingress | None) -> bool:
    """Whether a write says nothing new about traffic, so that a rollback's choice still holds."""
    if new is None or old is None or not new.traffic:
        return True
    return new.wire_rules == old.wire_rules


def _leave_single(view: AppView) -> AppView:
    """What serves goes on serving; who was activated by hand still takes over."""
    app = view.existing_app()
    ingress = app.configuration.ingress
    follows_latest = ingress is None or not ingress.traffic or ingress.traffic[0].latest_revision
    serves = app.serving in view.revisions and view.revisions[app.serving].is_active
    latest = {traffic.latest_ready(view), app.latest_ready}  # who gets all, or would once active
    if follows_latest and serves and latest != {app.serving}:
        pinned = (TrafficRule(revision_name=app.serving, weight=100),)
        view = traffic.with_rules(view, pinned, app.updated_at) if ingress is not None else view
    app = view.existing_app()
    is_chosen = app.candidate and app.candidate in {app.kept, *app.restored}
    restoring = _all_to(app, app.candidate) if is_chosen else {}
    return view.with_app(replace(app, serving="", candidate="", restoring=restoring))


def _all_to(app: App, revision: str) -> dict[str, Any]:
    """What a rollback waits for (`rollback.py`): the revision ready, to give it all traffic."""
    if app.configuration.ingress is None:
        return {}
    configuration = app.configuration.model_dump(mode="json", exclude={"secrets"})
    configuration["ingress"]["traffic"] = [{"revision_name": revision, "weight": 100}]
    return {"configuration": configuration, "needs": [revision]}


def _enter_single(view: AppView, now: float) -> AppView:
    """Keep one revision: activated first if need be, switched to once ready (contract §5).

    It is the latest ready one, unless a rollback chose another.
    """
    app = view.app
    assert app is not None
    keep = app.kept if app.kept in view.revisions else app.latest_ready or app.latest
    app = replace(app, serving="", candidate=keep)
    return wake(view.with_app(app), keep, now)


def set_mode(view: AppView, mode: str, now: float, target_label: str = "") -> AppView:
    """Switch the mode alone; `target_label` for the revision that serves, into labels mode."""
    app = view.existing_app()
    body = app.configuration.model_dump()
    body["active_revisions_mode"] = mode
    body["target_label"] = target_label
    return configure(view, Configuration.model_validate(body), now)

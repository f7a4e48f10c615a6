"""What a caller can do to an app: each command turns one view into the next.

Pure: no I/O, no clock, no chance; `now` and new suffixes are handed in. A command that raises has
changed nothing. The reconciler makes the world follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from control import labels, traffic, vault
from control.errors import Conflict, Invalid, NotFound
from control.resources import App, AppView, Provisioning, Revision
from control.schema import AppBody, Configuration, TrafficRule
from control.template import Template
from router.hosts import APP_NAME, LABEL, NAME_RULE

# "must not be more than a combined 54 characters" (contract §2); one constant, so it can be relaxed
MAX_REVISION_NAME = 54
# no vowels and no look-alikes: no words and no misreading; the first one is a letter (§2)
SUFFIX_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
SUFFIX_LETTERS = 19
SUFFIX_LENGTH = 7

NewSuffix = Callable[[], str]


def check_app_name(name: str) -> None:
    """Raises Invalid unless it is an app name."""
    if not APP_NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no app name: {NAME_RULE.format(32)}", code="ContainerAppInvalidName"
        )


def deploy(view: AppView, name: str, body: AppBody, now: float, new_suffix: NewSuffix) -> AppView:
    """Create an app or replace what it is: a changed template makes a revision."""
    if view.app is None:
        check_app_name(name)
        view = AppView(
            app=App(
                name=name,
                configuration=Configuration(),
                template=body.template,
                created_at=now,
                updated_at=now,
            ),
            replicas=view.replicas,  # of an app of that name that was deleted and still drains
        )
    app = view.app
    assert app is not None
    made = _new_revision(view, app, body.template, now, new_suffix)
    if made is not None:
        app = replace(
            app,
            template=made.template,
            latest=made.name,
            candidate=made.name,
            revisions_made=made.number,
        )
        view = _with(view, app, made)
    view = configure(view, body.configuration, now)
    if made is not None and labels.is_on(_app(view)):
        view = labels.aim(view, made.name, body.configuration.target_label)
    return purge(view)


def _new_revision(
    view: AppView, app: App, template: Template, now: float, new_suffix: NewSuffix
) -> Revision | None:
    """The revision that this template makes, or None when it is what the latest has already."""
    latest = view.revisions.get(app.latest)
    suffix = template.revision_suffix
    if latest and template.same_as(latest.template) and suffix in ("", latest.suffix):
        return None
    if suffix:
        name = _checked_name(view, app.name, suffix)
    else:
        name = ""
        while not name or name in view.revisions:
            suffix = new_suffix()
            name = f"{app.name}--{suffix}"
    return Revision(
        name=name,
        app=app.name,
        number=app.revisions_made + 1,
        template=template.model_copy(update={"revision_suffix": suffix}),
        created_at=now,
        activated_at=now,
        needed=_needed(view, app, template),
    )


def _checked_name(view: AppView, app: str, suffix: str) -> str:
    """Three layers, each with its own message (contract §2)."""
    if not LABEL.fullmatch(suffix) or suffix == "latest":
        what = "is reserved" if suffix == "latest" else f"is not {NAME_RULE.format(64)}"
        raise Invalid(f"revision suffix {suffix!r} {what}", code="ContainerAppInvalidRevisionName")
    name = f"{app}--{suffix}"
    if len(name) > MAX_REVISION_NAME:
        raise Invalid(
            f"revision name {name} has {len(name)} characters; "
            f"app and suffix must not be more than a combined {MAX_REVISION_NAME}",
            code="ContainerAppInvalidRevisionName",
        )
    if name in view.revisions:
        state = "active" if view.revisions[name].is_active else "inactive"
        raise Invalid(
            f"a revision with suffix {suffix} already exists and is {state}; choose another "
            f"suffix, or bring it back: turnout revision activate {app} --revision {name}",
            code="ContainerAppInvalidRevisionName",
        )
    return name


def _needed(view: AppView, app: App, template: Template) -> int:
    """How many ready replicas make it ready: as many as its predecessor runs (contract §4.5)."""
    scale = template.scale
    if template.endpoints:
        return max(1, min(scale.min_replicas, len(template.endpoints)))
    previous = len(view.ready(app.serving)) if app.is_single and app.serving else 0
    wanted = max(1, min(max(previous, scale.min_replicas), scale.max_replicas))
    return math.ceil(wanted * app.configuration.revision_transition_threshold / 100)


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
    view = replace_app(view, app)
    if was_single and is_labels:
        view = replace_app(view, replace(app, serving="", candidate=""))
    elif was_single and not is_single:
        view = _leave_single(view)
    elif is_single and not was_single and app.revisions_made > 0:
        view = _enter_single(view, now)
    return purge(view)


def _leave_single(view: AppView) -> AppView:
    """What serves goes on serving; nothing else changes (contract §5)."""
    app = _app(view)
    ingress = app.configuration.ingress
    follows_latest = ingress is None or not ingress.traffic or ingress.traffic[0].latest_revision
    if follows_latest and app.serving and app.serving != traffic.latest_ready(view):
        pinned = (TrafficRule(revision_name=app.serving, weight=100),)
        view = _with_rules(view, pinned, app.updated_at) if ingress is not None else view
    return replace_app(view, replace(_app(view), serving="", candidate=""))


def _enter_single(view: AppView, now: float) -> AppView:
    """Keep the latest ready revision: activated first if need be, switched to once ready (§5)."""
    app = view.app
    assert app is not None
    keep = app.latest_ready or app.latest
    revision = view.revisions[keep]
    app = replace(app, serving="", candidate=keep)
    return _with(view, app, revision if revision.is_active else _woken(revision, view, app, now))


def set_mode(view: AppView, mode: str, now: float, target_label: str = "") -> AppView:
    """Switch the mode alone; `target_label` for the revision that serves, into labels mode."""
    app = _app(view)
    body = app.configuration.model_dump()
    body["active_revisions_mode"] = mode
    body["target_label"] = target_label
    return configure(view, Configuration.model_validate(body), now)


def set_traffic(view: AppView, rules: traffic.Rules, now: float) -> AppView:
    """Replace the whole rule list."""
    app = _app(view)
    if app.is_single:
        traffic.check_single(rules, app.name)
    else:
        traffic.check(rules, app.name, view.revisions)
        if labels.is_on(app):
            labels.check(rules)
    return _with_rules(view, rules, now)


def add_label(view: AppView, label: str, revision: str, now: float) -> AppView:
    """Put a label on a revision, taking it from whoever holds it; weights stay."""
    app = _app(view)
    traffic.check_label(label, app.name)
    if app.is_single:
        raise Conflict(
            "labels need multiple revisions; switch first: "
            f"turnout revision set-mode {app.name} --mode multiple"
        )
    found = _revision(view, revision)
    if labels.is_on(app):
        view = labels.aim(view, revision, label.lower())
        if found.is_active:
            return view
        return _with(view, _app(view), _woken(found, view, app, now))
    rules = traffic.with_label(traffic.rules_of(app), label.lower(), found)
    return _with_rules(view, rules, now)


def remove_label(view: AppView, label: str, now: float) -> AppView:
    """Take a label away. Raises NotFound when nobody holds it."""
    app = _app(view)
    rules = traffic.rules_of(app)
    if traffic.holder(rules, label) is None:
        raise NotFound(f"no revision of {app.name} holds the label {label}")
    if labels.is_on(app):
        return _with_rules(view, labels.without_label(app, label), now)
    return _with_rules(view, traffic.without_label(rules, label), now)


def swap_labels(view: AppView, first: str, second: str, now: float) -> AppView:
    """Exchange two labels in one write."""
    app = _app(view)
    return _with_rules(view, traffic.with_swapped(traffic.rules_of(app), first, second), now)


def activate(view: AppView, name: str, now: float) -> AppView:
    """Bring a revision back; in single mode it takes over once it is ready."""
    app, revision = _app(view), _revision(view, name)
    labels.refuse_by_hand(app, "put a label on the revision")
    if app.is_single and name != app.serving:
        app = replace(app, candidate=name, updated_at=now)
    if revision.is_active:
        return replace_app(view, app)
    return _with(view, app, _woken(revision, view, app, now))


def wake(view: AppView, name: str, now: float) -> AppView:
    """Start a revision that rests; who gets traffic is not changed."""
    app, revision = _app(view), _revision(view, name)
    return view if revision.is_active else _with(view, app, _woken(revision, view, app, now))


def _woken(revision: Revision, view: AppView, app: App, now: float) -> Revision:
    woken = replace(
        revision,
        is_active=True,
        activated_at=now,
        provisioning=Provisioning.PROVISIONING,
        needed=_needed(view, app, revision.template),
        reason="",
        message="",
    )
    vault.check(app.configuration, [woken])
    return woken


def deactivate(view: AppView, name: str, now: float) -> AppView:
    """Send a revision to rest. Raises Conflict when that would take traffic to nowhere."""
    app, revision = _app(view), _revision(view, name)
    labels.refuse_by_hand(app, "take the revision's label away")
    if not revision.is_active:
        return view
    weight = traffic.shares(view)[name].weight
    others = [r for r in view.revisions.values() if r.is_active and r.name != name]
    if weight and others and not app.is_single:
        raise Conflict(
            f"revision {name} has {weight} % of the traffic; move it first, for example: "
            f"turnout traffic set {app.name} --revision-weight {others[0].name}=100"
        )
    rules = traffic.without_revision(traffic.rules_of(app), name)
    if not any(rule.weight for rule in rules):
        rules = ()  # it was the only one; the default rule follows whichever is activated next
    view = _with(view, app, rested(revision, now))
    if app.configuration.ingress is not None:
        view = _with_rules(view, rules, now)
    app = _app(view)
    serving = "" if app.serving == name else app.serving
    candidate = "" if app.candidate == name else app.candidate
    return purge(replace_app(view, replace(app, serving=serving, candidate=candidate)))


def rested(revision: Revision, now: float) -> Revision:
    """The revision, inactive."""
    return replace(revision, is_active=False, last_active_at=now)


def restart(view: AppView, name: str, now: float) -> AppView:
    """Replace a revision's replicas one at a time. Raises Conflict for an inactive one."""
    app, revision = _app(view), _revision(view, name)
    if not revision.is_active:
        raise Conflict(f"revision {name} is inactive; activate it instead of restarting it")
    revision = replace(revision, generation=revision.generation + 1)
    return _with(view, replace(app, updated_at=now), revision)


def set_stopped(view: AppView, now: float, *, is_stopped: bool) -> AppView:
    """Take all replicas of an app down, or bring them back."""
    app = _app(view)
    if app.is_stopped == is_stopped:
        return view
    view = replace_app(view, replace(app, is_stopped=is_stopped, updated_at=now))
    if not is_stopped:
        for revision in list(view.revisions.values()):
            if revision.is_active:  # its time to become ready starts anew
                view = _with(view, _app(view), replace(revision, activated_at=now))
    return view


def purge(view: AppView) -> AppView:
    """Drop the oldest inactive revisions beyond the limit (contract §4.6)."""
    app = view.app
    if app is None:
        return view
    labelled = {rule.revision_name for rule in traffic.rules_of(app) if rule.label}
    inactive = sorted(
        (r for r in view.revisions.values() if not r.is_active),
        key=lambda r: (r.created_at, r.name),
    )
    surplus = len(inactive) - app.configuration.max_inactive_revisions
    kept = {app.latest, app.latest_ready, app.serving, app.candidate, *labelled}
    gone = [r.name for r in inactive if r.name not in kept][: max(0, surplus)]
    if not gone:
        return view
    rules = traffic.rules_of(app)
    for name in gone:
        rules = traffic.without_revision(rules, name)
    revisions = {name: r for name, r in view.revisions.items() if name not in gone}
    ingress = app.configuration.ingress
    if ingress is not None and ingress.traffic:
        app = _with_ingress(app, ingress.model_copy(update={"traffic": rules}))
    return AppView(app, revisions, view.replicas)


# --- small steps


def _app(view: AppView) -> App:
    if view.app is None:
        raise NotFound("there is no such app")
    return view.app


def _revision(view: AppView, name: str) -> Revision:
    revision = view.revisions.get(name)
    if revision is None:
        app = _app(view)
        raise NotFound(f"app {app.name} has no revision {name}")
    return revision


def replace_app(view: AppView, app: App) -> AppView:
    """The view with another App in it."""
    return AppView(app, view.revisions, view.replicas)


def _with(view: AppView, app: App, revision: Revision) -> AppView:
    return AppView(app, {**view.revisions, revision.name: revision}, view.replicas)


def _with_ingress(app: App, ingress: object) -> App:
    configuration = app.configuration.model_copy(update={"ingress": ingress})
    return replace(app, configuration=configuration)


def _with_rules(view: AppView, rules: traffic.Rules, now: float) -> AppView:
    app = _app(view)
    ingress = app.configuration.ingress
    if ingress is None:
        raise Conflict(f"app {app.name} has no ingress, so it has no traffic to set")
    app = _with_ingress(app, ingress.model_copy(update={"traffic": rules}))
    return replace_app(view, replace(app, updated_at=now))

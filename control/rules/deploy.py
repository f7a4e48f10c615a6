"""Creating an app and replacing what it is: a changed template makes a revision. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

from control.model import labels
from control.model.errors import Detail, Invalid, all_of
from control.model.kinds import NO_REVISION, AppName, LabelName, RevisionName
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.schema import AppBody, Configuration
from control.rules import target_ports
from control.rules.activation import attempt, needed, purge, without_rollback
from control.rules.base_revision import base_of
from control.rules.configure import configure
from control.rules.sameness import is_same
from router.contract.hosts import APP_NAME, LABEL, NAME_RULE

# "must not be more than a combined 54 characters"; one constant, so it can be relaxed
MAX_REVISION_NAME = 54
# no vowels and no look-alikes: no words, no misreading; a letter comes first (contract §2)
SUFFIX_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
SUFFIX_LETTERS = 19
SUFFIX_LENGTH = 7

NewSuffix = Callable[[], str]


def check_app_name(name: AppName) -> None:
    """Raises Invalid unless it is an app name."""
    if not APP_NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no app name: {NAME_RULE.format(32)}", code="ContainerAppInvalidName"
        )


def deploy(
    view: AppView,
    name: AppName,
    body: AppBody,
    now: float,
    new_suffix: NewSuffix,
    *,
    is_asked: bool = False,
    is_forced: bool = False,
    rebuilt: frozenset[str] = frozenset(),
) -> AppView:
    """Create an app or replace what it is: a changed template makes a revision.

    The template that the latest revision has already tries that one again if it failed or rests,
    provided that the write is about it: it says so (`is_asked`), or it changes nothing else. It
    makes a new one when the latest is `rebuilt`, one of those whose images are others by now, or
    when the caller insists (`is_forced`).
    """
    deployed = _deployed(view, name, body, now, new_suffix, Again(is_asked, is_forced))
    is_about_it = is_asked or is_same(view, deployed)
    if is_forced or not rebuilt or not is_about_it:
        return deployed
    return _deployed(view, name, body, now, new_suffix, Again(is_asked, rebuilt=rebuilt))


@dataclass(frozen=True, slots=True)
class Again:
    """What a write of a template means that there is a revision of."""

    is_asked: bool = False
    is_forced: bool = False
    rebuilt: frozenset[str] = frozenset()

    def is_renewed(self, revision: Revision) -> bool:
        """Whether a revision is not what the template would make now."""
        return self.is_forced or (revision.has_been_ready and revision.name in self.rebuilt)


def _deployed(
    view: AppView, name: AppName, body: AppBody, now: float, new_suffix: NewSuffix, again: Again
) -> AppView:
    old = view
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
    app = replace(
        app,
        tags=app.tags if body.tags is None else body.tags,
        resource_group=_first(app.resource_group, body.resource_group),
        environment=_first(app.environment, body.environment),
        location=_first(app.location, body.location),
    )
    made = _new_revision(view, app, body, now, new_suffix, again)
    if made is not None:
        view = without_rollback(view.with_app(app), now)  # it would undo this deploy
        app = replace(
            view.existing_app(),
            template=made.template,
            latest=made.name,
            candidate=made.name,
            kept=NO_REVISION,
            revisions_made=made.number,
        )
        view = view.with_app(app).with_revision(made)
    else:
        view = view.with_app(app)
    view = configure(view, body.configuration, now)
    _check_port(view.existing_app(), body)
    label = body.configuration.target_label
    if made is not None and labels.is_on(view.existing_app()):
        view = labels.aim(view, made.name, label)
    elif made is None:
        view = _repeated(old, view, body, now, again)
    return purge(view)


def _repeated(old: AppView, view: AppView, body: AppBody, now: float, again: Again) -> AppView:
    """After a write of a template that there is a revision of: other settings, or once more."""
    app, label = view.existing_app(), body.configuration.target_label
    base = base_of(old)
    is_about_base = base is not None and _repeats_base(old, body, again)
    about = base.name if base is not None and is_about_base else app.latest
    was = target_ports.of_app(old.existing_app()) if old.app is not None else 0
    is_void, is_port_new = is_same(old, view), target_ports.of_app(app) != was
    has_failed = view.revisions[about].provisioning is Provisioning.FAILED
    is_about_it = is_void or (is_port_new and has_failed)
    is_tried = again.is_asked or (is_about_it and _can_aim(view, label))
    if is_port_new or (is_tried and has_failed):
        view = target_ports.follow(view, about, was, now)
    return attempt(view, now, label) if is_tried and not is_about_base else view


def _first(present: str, given: str | None) -> str:
    """Where an app lives is said once; `places` has refused what would move it."""
    return present or given or ""


def _check_port(app: App, body: AppBody) -> None:
    ingress = app.configuration.ingress
    if body.template.runtime != "docker" or ingress is None or ingress.target_port is not None:
        return
    image = body.template.containers[0].image
    what = f"{image} runs in a container: give targetPort, the port that it listens on"
    raise all_of(
        [Detail("InvalidParameterValue", what, "configuration.ingress.targetPort")],
        "the request was not accepted",
    )


def _can_aim(view: AppView, label: LabelName) -> bool:
    """Whether a body that only repeats what GET shows says enough for a new attempt."""
    app = view.existing_app()
    return not labels.is_on(app) or bool(label) or labels.holds_one(app, app.latest)


def _new_revision(
    view: AppView, app: App, body: AppBody, now: float, new_suffix: NewSuffix, again: Again
) -> Revision | None:
    """The revision that this template makes, or None when it is what the latest has already."""
    template, latest = body.template, view.revisions.get(app.latest)
    suffix = template.revision_suffix
    is_repeated = latest and template.same_as(latest.template) and suffix in ("", latest.suffix)
    if latest and is_repeated and not again.is_renewed(latest):
        return None
    if _repeats_base(view, body, again):
        return None
    if suffix:
        name = _checked_name(view, app.name, suffix)
    else:
        name = NO_REVISION
        while not name or name in view.revisions:
            suffix = new_suffix()
            name = RevisionName(f"{app.name}--{suffix}")
    number, ingress = app.revisions_made + 1, body.configuration.ingress
    return Revision(
        name=name,
        app=app.name,
        uid=_uid(name, number, now),
        number=number,
        template=template.model_copy(update={"revision_suffix": suffix}),
        created_at=now,
        activated_at=now,
        pulls=again.is_forced,
        target_port=(ingress.target_port or 0) if ingress is not None else 0,
        needed=needed(view, app, template, body.configuration.revision_transition_threshold),
    )


def _repeats_base(view: AppView, body: AppBody, again: Again) -> bool:
    """Whether a body has the template that GET shows, which may not be that of the latest."""
    base = base_of(view)
    if base is None or base.name == view.existing_app().latest or body.configuration.target_label:
        return False
    if again.is_renewed(base):
        return False
    suffix = body.template.revision_suffix
    return body.template.same_as(base.template) and suffix in ("", base.suffix)


def _uid(name: RevisionName, number: int, now: float) -> str:
    """What tells a revision from an earlier one of its name, whose app was deleted."""
    return blake2b(f"{name} {number} {now!r}".encode(), digest_size=8).hexdigest()


def _makes_way(view: AppView, revision: Revision) -> bool:
    """Whether a deploy may take its name: it never was ready, and it has failed or is failing."""
    if revision.has_been_ready:
        return False
    is_hopeful = revision.is_active and revision.provisioning is not Provisioning.FAILED
    return not is_hopeful or any(replica.restarts for replica in view.of(revision.name))


def _checked_name(view: AppView, app: AppName, suffix: str) -> RevisionName:
    """Three layers, each with its own message."""
    if not LABEL.fullmatch(suffix) or suffix == "latest":
        what = "is reserved" if suffix == "latest" else f"is not {NAME_RULE.format(64)}"
        raise Invalid(f"revision suffix {suffix!r} {what}", code="ContainerAppInvalidRevisionName")
    name = RevisionName(f"{app}--{suffix}")
    if len(name) > MAX_REVISION_NAME:
        raise Invalid(
            f"revision name {name} has {len(name)} characters; "
            f"app and suffix must not be more than a combined {MAX_REVISION_NAME}",
            code="ContainerAppInvalidRevisionName",
        )
    known = view.revisions.get(name)
    if known is not None and not _makes_way(view, known):
        back = f", or bring it back: turnout revision activate {app} --revision {name}"
        state = "active" if known.is_active else "inactive"
        raise Invalid(
            f"a revision with suffix {suffix} already exists and is {state}; choose another "
            f"suffix{'' if known.is_active else back}",
            code="ContainerAppInvalidRevisionName",
        )
    return name

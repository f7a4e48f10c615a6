"""What was changed, by whom, and what an app was after it.

One record per acknowledged change, and one for each step that turnout takes by itself, such as a
switch to a revision that became ready. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from control.history.caller import TURNOUT, Caller
from control.model import labels, secret_values, traffic
from control.model.kinds import NO_REVISION, AppName, Moment, RevisionName
from control.model.records import CHECKED, Restoring, State
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.schema import Configuration

_MOST_LINES = 50  # of one record's changes; a template may be long


@dataclass(frozen=True, slots=True)
class Record:
    """One change. `state` is what a rollback to it restores; None once the app was deleted."""

    __pydantic_config__ = CHECKED

    app: AppName
    who: str
    note: str
    changes: list[str]
    state: State | None = field(default=None)
    is_own: bool = False  # turnout did it by itself: no rollback undoes it alone
    number: int = 0  # given by the store
    at: Moment = 0.0

    @property
    def restores(self) -> int:
        """The number of the record that this rollback goes back to; 0 for any other change."""
        return self.state.get("restores", 0) if self.state is not None else 0

    @property
    def is_waiting(self) -> bool:
        """Whether it is of a rollback that had begun: another record says that it led there."""
        return self.state is not None and self.state.get("is_waiting", False)


def record(
    name: AppName, old: AppView, new: AppView, caller: Caller, now: float, restores: int = 0
) -> Record:
    """The record of a change that a caller made; of a rollback, with the record it restores."""
    lines, state = list(changes(old, new)), state_of(new)
    if new.app is not None and state is not None and restores:
        lines.insert(0, f"rolled back to record {restores}")
        state["restores"] = restores
        if new.app.restoring:
            lines[0] = f"rollback to record {restores} begun"
            state["is_waiting"] = True
    return Record(name, caller.who, caller.note, _bounded(lines), state, at=now)


def own_record(name: AppName, old: AppView, new: AppView, now: float) -> Record | None:
    """The record of what turnout did by itself; None for what nobody would want to read."""
    lines, state = _bounded(changes(old, new, is_own=True)), state_of(new)
    if state is not None and old.app is not None and _is_complete(old.app, new.app):
        state["restores"] = old.app.restoring.get("record", 0)
    return Record(name, TURNOUT.who, "", lines, state, is_own=True, at=now) if lines else None


def _is_complete(old: App, new: App | None) -> bool:
    """Whether a rollback led where it was to lead."""
    return bool(old.restoring and new is not None and not new.restoring and not new.problem)


def _bounded(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    rest = len(every) - _MOST_LINES
    return every if rest <= 0 else [*every[:_MOST_LINES], f"and {rest} more"]


def state_of(view: AppView) -> State | None:
    """The app-scope state that is meant; of a rollback that waits, what it is about to restore.

    `latestRevision` rules are pinned to whom they meant then. A name may be another revision's
    one day, so there are the uids too.
    """
    app = view.app
    if app is None:
        return None
    meant, rules = app.configuration, labels.intended(app)
    serving = (app.candidate or app.serving) if app.is_single else NO_REVISION
    if app.restoring:
        meant = Configuration.model_validate(app.restoring["configuration"])
        rules = meant.ingress.traffic if meant.ingress is not None else ()
        is_single = meant.active_revisions_mode == "single"
        serving = next(iter(app.restoring["needs"]), NO_REVISION) if is_single else NO_REVISION
    configuration, latest = meant.model_dump(mode="json", exclude={"secrets"}), NO_REVISION
    state: State = {
        "configuration": configuration,
        "serving": serving,
        "is_stopped": app.is_stopped,
        "resource_group": app.resource_group,  # these two for an app whose record gets lost
        "environment": app.environment,
    }
    if meant.ingress is not None:
        latest = traffic.latest_ready(view)
        configuration["ingress"]["traffic"] = [
            _target(rule.revision_name or latest)
            | {"weight": rule.weight}
            | ({"label": rule.label} if rule.label else {})
            for rule in rules
        ]
        followers = [at for at, rule in enumerate(rules) if not rule.revision_name]
        if followers:
            state["latest_rule"] = followers[0]
    named = {serving, latest, *(rule.revision_name for rule in rules)}
    there = {name: r for name, r in view.revisions.items() if name in named}
    state["uids"] = {name: r.uid for name, r in there.items()}
    state["ports"] = {name: r.target_port for name, r in there.items() if r.target_port}
    return state


def _target(name: RevisionName) -> dict[str, Any]:
    return {"revision_name": name} if name else {"latest_revision": True}  # nobody was active


def changes(old: AppView, new: AppView, *, is_own: bool = False) -> Iterator[str]:
    """What differs, one line each, in words and paths of the API; `is_own` as in a record.

    A rollback that waits is completed by turnout, and only given up by a caller.
    """
    if old.app is None and new.app is not None:
        yield f"app {new.app.name} created"
    if new.app is None:
        yield "app deleted"
        return
    for name, revision in new.revisions.items():
        known = old.revisions.get(name)
        if known is None:
            image = revision.template.containers[0].image
            yield f"revision {name} made from image {image}"
        elif known.is_active != revision.is_active:
            yield f"revision {name} {_woken_or_not(known, revision)}"
        elif known.generation > revision.generation:
            yield f"revision {name} stays at port {revision.target_port}"
        elif known.generation != revision.generation:
            was_failed = known.provisioning is Provisioning.FAILED
            is_retry = was_failed and revision.provisioning is Provisioning.PROVISIONING
            yield f"revision {name} {'tried again' if is_retry else 'restarted'}"
        if known is not None and known.provisioning is not revision.provisioning:
            yield from _outcome(revision)
    yield from (f"revision {name} purged" for name in old.revisions if name not in new.revisions)
    if old.app is None:
        return
    if old.app.is_stopped != new.app.is_stopped:
        yield "app stopped" if new.app.is_stopped else "app started"
    if new.app.serving not in ("", old.app.serving):
        yield f"revision {new.app.serving} serves"
    yield from _rollback(old.app, new.app, is_own)
    yield from _pending(old.app, new.app)
    yield from _faults(old.app, new.app)
    yield from secret_values.changes(old.app.configuration, new.app.configuration)
    yield from _tags(old.app, new.app)
    before, after = _settings(old.app), _settings(new.app)
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path, "nothing"), after.get(path, "nothing")
        if was != now:
            yield f"configuration.{path}: {was} -> {now}"


def _woken_or_not(known: Revision, revision: Revision) -> str:
    if revision.is_active:
        return "activated"
    is_hopeful = known.provisioning is Provisioning.PROVISIONING and not known.has_been_ready
    return "deactivated: its deploy is cancelled" if is_hopeful else "deactivated"


def _outcome(revision: Revision) -> Iterator[str]:
    if revision.provisioning is Provisioning.PROVISIONED:
        yield f"revision {revision.name} is ready"
    elif revision.provisioning is Provisioning.FAILED:
        yield f"revision {revision.name} failed: {revision.reason}: {revision.message}"


def _rollback(old: App, new: App, is_own: bool) -> Iterator[str]:
    if new.restoring and new.restoring != old.restoring:
        yield f"traffic follows once {', '.join(new.restoring['needs'])} is ready"
    elif old.restoring and not new.restoring:
        complete = f"the rollback{_to(old.restoring)} is complete"
        yield new.problem or (complete if is_own else "the rollback was given up")


def _to(restoring: Restoring) -> str:
    """The record that it goes to; it has none when a switch of the mode made it."""
    return f" to record {number}" if (number := restoring.get("record")) else ""


def _pending(old: App, new: App) -> Iterator[str]:
    for label, name in new.pending.items():
        if old.pending.get(label) != name:
            yield f"label {label} goes to {name} once it is ready"


def _faults(old: App, new: App) -> Iterator[str]:
    for name in sorted(old.faults.keys() | new.faults.keys()):
        was, now = old.faults.get(name), new.faults.get(name)
        if was != now:
            said = {k: v for k, v in (now or {}).items() if k not in ("until", "ends_at")}
            text = ", ".join(f"{key} {value:g}" for key, value in said.items()) or "none"
            yield f"fault of revision {name}: {text}"


def _tags(old: App, new: App) -> Iterator[str]:
    for tag in sorted(old.tags.keys() | new.tags.keys()):
        was, now = old.tags.get(tag, "nothing"), new.tags.get(tag, "nothing")
        if was != now:
            yield f"tag {tag}: {was} -> {now}"


def _settings(app: App) -> dict[str, Any]:
    return _flat({k: v for k, v in app.configuration.wire().items() if k != "secrets"})


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list):
        found = {}
        for at, inner in enumerate(value):
            found |= _flat(inner, f"{path}[{at}]")
        return found
    return {} if value is None else {path: value}

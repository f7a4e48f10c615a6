"""Back to what a record of the journal says: app-scope state and traffic.

Pure. Revisions that are needed are woken first, and traffic moves when they are ready: in single
mode as with any switch, else by `restoring`, which the planner carries out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from control import commands, journal, labels, ports, traffic, vault
from control.errors import Conflict, Invalid
from control.journal import Record
from control.resources import App, AppView, Provisioning, Revision
from control.schema import Configuration


def ways_back(newest_first: Iterable[Record]) -> Iterator[Record]:
    """The records that a rollback without a number may go back to, nearest first.

    Each is the last one before a change of a caller. A rollback is no change to undo: the way goes
    on from where it led, so that a second one goes further back.
    """
    newest, is_behind_change = float("inf"), False
    for record in newest_first:
        if record.number > newest:
            continue
        if is_behind_change:
            yield record
        newest = record.restores or newest
        is_behind_change = not (record.is_own or record.restores)


def was_in_force(view: AppView, state: dict[str, Any]) -> bool:
    """Whether its revisions have been ready: else it is a deploy that never came to its end.

    Of an app that nothing was ever ready of, every state is as good as another.
    """
    needed = [view.revisions.get(name) for name in _needed(state)]
    is_young = not any(revision.has_been_ready for revision in view.revisions.values())
    return is_young or all(revision is None or revision.has_been_ready for revision in needed)


def is_there_already(old: AppView, new: AppView) -> bool:
    """Whether a rollback changes nothing that anybody would notice."""
    is_restoring = new.app is not None and bool(new.app.restoring)
    same = old.revisions == new.revisions and journal.state_of(old) == journal.state_of(new)
    return same and not is_restoring


def roll_back(view: AppView, state: dict[str, Any], now: float) -> AppView:
    """Begin to restore a recorded state. Raises Conflict when its revisions are gone."""
    app = view.app
    assert app is not None
    wanted = _needed(state)
    gone = sorted(wanted - view.revisions.keys())
    if gone:
        raise Conflict(
            f"revision {', '.join(gone)} of that record was purged; "
            "deploy its template again, or roll back to a later record"
        )
    view = commands.set_stopped(view, now, is_stopped=state["is_stopped"])
    for name in sorted(wanted):
        view = commands.wake(view, name, now)
    app = view.app
    assert app is not None
    configuration = _recorded(state["configuration"], app)
    vault.check(configuration, (view.revisions[name] for name in wanted))
    view = _at_port(view, wanted, ports.of_app(replace(app, configuration=configuration)), now)
    app = view.app
    assert app is not None
    if configuration.active_revisions_mode == "single":
        return _dropped(_single(view, configuration, state["serving"], now), wanted, now)
    restoring = {"configuration": state["configuration"], "needs": sorted(wanted)}
    view = restore(commands.replace_app(view, replace(app, restoring=restoring)), now)
    return _dropped(view, wanted, now)


def _at_port(view: AppView, wanted: set[str], port: int, now: float) -> AppView:
    """What follows the app's port follows it back; a revision with a port of its own keeps it."""
    assert view.app is not None
    old = ports.of_app(view.app)
    back = {name: ports.staying(view.revisions[name]) for name in wanted}
    moved = {
        name: ports.moving(revision, old, port, now)
        for name, revision in back.items()
        if port and (revision.target_port or old) == old
    }
    return AppView(view.app, {**view.revisions, **back, **moved}, view.replicas)


def _dropped(view: AppView, wanted: set[str], now: float) -> AppView:
    """Without what a deploy left that has not come to its end: a rollback must not finish it."""
    shares = traffic.shares(view)

    def goes(revision: Revision) -> bool:
        share = shares.get(revision.name, traffic.Share())
        return (
            revision.is_active
            and not revision.has_been_ready
            and revision.name not in wanted
            and not (share.weight or share.labels)
        )

    revisions = {
        name: commands.rested(revision, now) if goes(revision) else revision
        for name, revision in view.revisions.items()
    }
    return commands.purge(AppView(view.app, revisions, view.replicas))


def _recorded(configuration: dict[str, Any], app: App) -> Configuration:
    """A recorded configuration; secrets are not recorded, so they stay as they are."""
    found = Configuration.model_validate(configuration)
    return found.model_copy(update={"secrets": app.configuration.secrets})


def _needed(state: dict[str, Any]) -> set[str]:
    configuration = state["configuration"]
    if configuration["active_revisions_mode"] == "single":
        return {state["serving"]} - {""}
    rules = (configuration["ingress"] or {}).get("traffic", [])
    return {r.get("revision_name", "") for r in rules if r["weight"] or r.get("label")} - {""}


def _single(view: AppView, configuration: Configuration, serving: str, now: float) -> AppView:
    ingress = configuration.ingress
    if ingress is not None:
        configuration = configuration.model_copy(
            update={"ingress": ingress.model_copy(update={"traffic": ()})}
        )
    view = commands.configure(view, configuration, now)
    app = view.app
    assert app is not None
    if serving:  # a revision that was about to take over from it does not
        candidate = serving if serving != app.serving else ""
        app = replace(app, candidate=candidate, kept=serving, updated_at=now)
    return commands.replace_app(view, app)


def restore(view: AppView, now: float) -> AppView:
    """Apply what is being restored once its revisions are ready; give it up when one fails."""
    app = view.app
    if app is None or not app.restoring:
        return view
    needed = [view.revisions.get(name) for name in app.restoring["needs"]]
    lost = [
        name
        for name, r in zip(app.restoring["needs"], needed, strict=True)
        if r is None or not r.is_active or r.provisioning is Provisioning.FAILED
    ]
    if lost:
        return _given_up(view, app, f"{', '.join(lost)} did not become ready")
    if any(r is not None and r.provisioning is not Provisioning.PROVISIONED for r in needed):
        return view
    configuration = _recorded(app.restoring["configuration"], app)
    try:
        ready = commands.replace_app(view, _ready_for(replace(app, restoring={})))
        restored = commands.configure(ready, configuration, now)
    except Invalid as error:  # what it needs was taken away while it waited
        return _given_up(view, app, error.message)
    assert restored.app is not None
    kept = _newest_with_weight(restored)
    return labels.settle(commands.replace_app(restored, replace(restored.app, kept=kept)), now)


def _newest_with_weight(view: AppView) -> str:
    """Whom a switch to single mode keeps: what was rolled away from must not come back by it."""
    weighted = [view.revisions[name] for name, s in traffic.shares(view).items() if s.weight]
    return max(weighted, key=lambda r: r.number).name if weighted else ""


def _given_up(view: AppView, app: App, why: str) -> AppView:
    problem = f"the rollback was given up, and nothing was changed: {why}"
    return commands.replace_app(view, replace(app, restoring={}, problem=problem))


def _ready_for(app: App) -> App:
    """Nothing else is under way any more: the record decides."""
    return replace(app, candidate="" if not app.is_single else app.candidate, pending={})

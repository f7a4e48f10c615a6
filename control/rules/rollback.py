"""Back to what a record of the journal says: app-scope state and traffic.

Pure. Revisions that are needed are woken first. Until they are ready the app is as it was, and
what it will be is its `restoring`, which the planner completes or gives up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from control.history import journal
from control.history.caller import Caller
from control.history.journal import Record
from control.model import labels, secret_values, traffic
from control.model.errors import Conflict, Invalid, PreconditionFailed
from control.model.kinds import NO_REVISION, RevisionName
from control.model.records import Restoring, State
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.schema import Configuration
from control.rules import commands, target_ports


def ways_back(newest_first: Iterable[Record]) -> Iterator[Record]:
    """The records that a rollback without a number may go back to, nearest first.

    Each is the last one before a change of a caller. A rollback is no change to undo: the way goes
    on from where it led, so that a second one goes further back. One that waits, or was given up,
    led nowhere.
    """
    newest, is_behind_change = float("inf"), False
    for record in newest_first:
        if record.number > newest:
            continue
        if is_behind_change:
            yield record
        newest = (not record.is_waiting and record.restores) or newest
        is_behind_change = not (record.is_own or record.restores)


def was_in_force(view: AppView, state: State) -> bool:
    """Whether a rollback without a number may lead to it.

    It may not where nobody answers, nor to a deploy that never came to its end. Of an app that
    nothing was ever ready of, its settings may come back, but no deploy that was given up.
    """
    needed = _needed(state)
    if state["is_stopped"] or any(_is_another(view, state, name) for name in needed):
        return False
    found = [view.revisions[name] for name in needed if name in view.revisions]
    is_young = not any(revision.has_been_ready for revision in view.revisions.values())
    return all(r.has_been_ready or (is_young and r.is_active) for r in found)


def _is_another(view: AppView, state: State, name: RevisionName) -> bool:
    """Whether a later revision has the name by now; early records have no uids."""
    revision, uid = view.revisions.get(name), state.get("uids", {}).get(name, "")
    return revision is not None and uid not in ("", revision.uid)


def awaited(view: AppView) -> int:
    """The number of the record that a rollback under way goes to, or 0."""
    return int(view.app.restoring.get("record", 0)) if view.app is not None else 0


def check_is_first(
    newest_first: Iterable[Record], caller: Caller, known: int, further: Record
) -> None:
    """Two who undo the same change must not go two steps. Raises PreconditionFailed, Conflict.

    `known` is the newest record that the caller has seen, or 0.
    """
    has_led = False
    for record in newest_first:
        has_led |= bool(record.restores) and not record.is_waiting
        if record.is_own:
            continue
        by = f"{record.who} in record {record.number}"
        if known and record.number > known:
            raise PreconditionFailed(
                f"app {record.app} was changed meanwhile, by {by}; see turnout journal {record.app}"
            )
        if has_led and record.restores and record.who != caller.who:
            raise Conflict(
                f"app {record.app} was rolled back already, by {by}; to go further back: "
                f"turnout rollback {record.app} --to {further.number}"
            )
        return


def is_there_already(old: AppView, new: AppView) -> bool:
    """Whether a rollback changes nothing that anybody would notice."""
    is_restoring = new.app is not None and bool(new.app.restoring)
    same = old.revisions == new.revisions and journal.state_of(old) == journal.state_of(new)
    return same and not is_restoring


def roll_back(view: AppView, state: State, now: float, record: int = 0) -> AppView:
    """Begin to restore the state of a record. Raises Conflict when its revisions are gone."""
    assert view.app is not None
    wanted = _needed(state)
    _check_there(view, state, wanted)
    view = commands.set_stopped(view, now, is_stopped=state["is_stopped"])
    for name in sorted(wanted):
        view = commands.wake(view, name, now)
    app = view.app
    assert app is not None
    state = _without_a_port_of_nobody(view, state, wanted)
    configuration = _recorded(state["configuration"], app)
    secret_values.check(configuration, (view.revisions[name] for name in wanted))
    port = target_ports.of_app(replace(app, configuration=configuration))
    view = _at_port(view, {name: _ports(state).get(name, port) for name in wanted}, now)
    view = _begun(view, state, record, now)
    completed = _completed(view, now)  # raises for the caller what it would raise later
    is_due = state["is_stopped"] or _are_ready(view)  # of a stopped app nothing becomes ready
    return _dropped(completed if is_due else view, wanted, now)


def _begun(view: AppView, state: State, record: int, now: float) -> AppView:
    app = view.app
    assert app is not None
    restoring: Restoring = {
        "configuration": _following_latest(app, state),
        "needs": sorted(_needed(state)),
        "record": record,
    }
    app = replace(app, restoring=restoring, updated_at=now)
    if app.is_single:  # a revision that was about to take over does not
        is_switch = _is_single(restoring) and state["serving"] != app.serving
        app = replace(app, candidate=state["serving"] if is_switch else NO_REVISION)
    return view.with_app(app)


def _check_there(view: AppView, state: State, wanted: set[RevisionName]) -> None:
    purged = ", ".join(sorted(wanted - view.revisions.keys()))
    others = ", ".join(sorted(name for name in wanted if _is_another(view, state, name)))
    for names, what in ((purged, "was purged"), (others, "made way for another of its name")):
        if names:
            raise Conflict(
                f"revision {names} of that record {what}; "
                "deploy its template again, or roll back to a later record"
            )


def _following_latest(app: App, state: State) -> dict[str, Any]:
    """The recorded configuration, of which a rule follows the latest revision as it did then.

    Not where a later revision has been ready: that one would have the traffic.
    """
    configuration: dict[str, Any] = state["configuration"]
    at = state.get("latest_rule")
    if at is None or configuration["active_revisions_mode"] != "multiple":
        return configuration
    ingress = configuration["ingress"]
    rules = list(ingress["traffic"])
    if rules[at].get("revision_name") != app.latest_ready:
        return configuration
    followed = {k: v for k, v in rules[at].items() if k != "revision_name"}
    rules[at] = followed | {"latest_revision": True}
    return configuration | {"ingress": ingress | {"traffic": rules}}


def _ports(state: State) -> dict[RevisionName, int]:
    """Where the revisions were; early records do not say it."""
    return state.get("ports", {})


def _without_a_port_of_nobody(view: AppView, state: State, wanted: set[RevisionName]) -> State:
    """The app had the port of a deploy under way, which does not come back with the others."""
    configuration, at = state["configuration"], _ports(state)
    ingress = configuration["ingress"]
    if ingress is None or not wanted or not wanted <= at.keys():
        return state
    if ingress["target_port"] in {at[name] for name in wanted}:
        return state
    newest = max(wanted, key=lambda name: view.revisions[name].number)
    ingress = {**ingress, "target_port": at[newest]}
    back = state.copy()
    back["configuration"] = {**configuration, "ingress": ingress}
    return back


def _at_port(view: AppView, wanted: dict[RevisionName, int], now: float) -> AppView:
    """What follows the app's port follows it back; a revision with a port of its own keeps it."""
    assert view.app is not None
    old = target_ports.of_app(view.app)
    back = {name: target_ports.staying(view.revisions[name]) for name in wanted}
    moved = {
        name: target_ports.moving(revision, old, wanted[name], now)
        for name, revision in back.items()
        if wanted[name] and (revision.target_port or old) == old
    }
    return view.with_revision(*(back | moved).values())


def _dropped(view: AppView, wanted: set[RevisionName], now: float) -> AppView:
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
    return commands.purge(replace(view, revisions=revisions))


def _recorded(configuration: dict[str, Any], app: App) -> Configuration:
    """A recorded configuration; secrets are not recorded, so they stay as they are."""
    found = Configuration.model_validate(configuration)
    return found.model_copy(update={"secrets": app.configuration.secrets})


def _needed(state: State) -> set[RevisionName]:
    configuration = state["configuration"]
    if configuration["active_revisions_mode"] == "single":
        return {state["serving"]} - {""}
    rules = (configuration["ingress"] or {}).get("traffic", [])
    return {r.get("revision_name", "") for r in rules if r["weight"] or r.get("label")} - {""}


def restore(view: AppView, now: float) -> AppView:
    """Apply what is being restored once its revisions are ready; give it up when one fails."""
    app = view.app
    if app is None or not app.restoring:
        return view
    if lost := "; ".join(_lost(view, app)):
        return _given_up(view, app, lost)
    if not _are_ready(view):
        return view
    try:
        return _completed(view, now)
    except Invalid as error:  # what it needs was taken away while it waited
        return _given_up(view, app, error.message)


def _lost(view: AppView, app: App) -> Iterator[str]:
    for name in app.restoring["needs"]:
        revision = view.revisions.get(name)
        if revision is None or not revision.is_active:
            yield f"{name} did not become ready"
        elif revision.provisioning is Provisioning.FAILED:
            yield f"{name} did not become ready: {revision.message}"


def _are_ready(view: AppView) -> bool:
    assert view.app is not None
    needed = (view.revisions[name] for name in view.app.restoring["needs"])
    return all(r.provisioning is Provisioning.PROVISIONED for r in needed)


def _is_single(restoring: Restoring) -> bool:
    return bool(restoring["configuration"]["active_revisions_mode"] == "single")


def _completed(view: AppView, now: float) -> AppView:
    """What the app is once its revisions are ready. Raises Invalid."""
    app = view.app
    assert app is not None
    configuration = _recorded(app.restoring["configuration"], app)
    if _is_single(app.restoring):
        kept = next(iter(app.restoring["needs"]), app.kept)
        app = replace(app, restoring={}, kept=kept)
        return commands.configure(view.with_app(app), _without_split(configuration), now)
    app = replace(
        app, restoring={}, candidate=NO_REVISION, pending={}
    )  # nothing else is under way any more
    restored = commands.configure(view.with_app(app), configuration, now)
    assert restored.app is not None
    kept = _newest_with_weight(restored)
    return labels.settle(restored.with_app(replace(restored.app, kept=kept)), now)


def _without_split(configuration: Configuration) -> Configuration:
    if configuration.ingress is None:
        return configuration
    ingress = configuration.ingress.model_copy(update={"traffic": ()})
    return configuration.model_copy(update={"ingress": ingress})


def _newest_with_weight(view: AppView) -> RevisionName:
    """Whom a switch to single mode keeps: what was rolled away from must not come back by it."""
    weighted = [view.revisions[name] for name, s in traffic.shares(view).items() if s.weight]
    return max(weighted, key=lambda r: r.number).name if weighted else NO_REVISION


def _given_up(view: AppView, app: App, why: str) -> AppView:
    problem = f"the rollback was given up, and nothing was changed: {why}"
    app = replace(app, restoring={}, problem=problem)
    return target_ports.taken_back(view.with_app(app))  # of a deploy that it dropped, too

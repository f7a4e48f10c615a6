"""Commands on the store: check, change in memory, record. The API's handlers call nothing else.

A command is synchronous from reading the view to the commit, so two callers never interleave.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from control.changes.dry_run import NO_APP_CHANGES, Previews
from control.changes.images import ComparedImages, compared_images
from control.changes.places import Places
from control.changes.preconditions import UNCONDITIONAL, Conditions
from control.changes.reader import Reader
from control.changes.turn import Turn
from control.changes.unit_of_work import Command, UnitOfWork
from control.history import journal
from control.history.caller import Caller
from control.history.journal import Record
from control.model import traffic
from control.model.errors import Invalid, no_app, together
from control.model.kinds import NO_LABEL, AppName, LabelName, RevisionName, folded
from control.model.resources import AppView, Revision, replace
from control.model.schema import AppBody, TrafficRule
from control.model.template import Template
from control.rules import commands, rollback
from control.runtime import Runtimes
from control.store import Store
from router.contract.snapshot import Fault

_DRAFTS = 3  # of a transaction in turns, before it is made in one go
_NOTHING = AppView(None)
BodyOf = Callable[[AppView], AppBody]
Outcome = AppView | Previews  # of a change of one app, made or only tried
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """One app to be created, replaced or, without a body, deleted."""

    app: AppName
    body: BodyOf | None
    is_existing: bool = False  # a patch: there has to be something to change
    is_asked: bool = False  # a patch that is about the template: one that failed is tried again
    is_forced: bool = False  # a new revision, although nothing changed
    rebuilt: frozenset[str] = frozenset()  # revisions whose images are others by now
    conditions: Conditions = UNCONDITIONAL


class Changes:
    """What callers can ask of the control plane."""

    def __init__(self, store: Store, runtimes: Runtimes, domain: str, places: Places) -> None:
        self._store = store
        self._runtimes = runtimes
        self.read = Reader(store, runtimes)
        self.domain = domain
        self.places = places

    # --- changing

    async def compared_images(self, name: AppName) -> ComparedImages:
        """The revisions that a deploy may repeat, by whether their images are others by now.

        Only for those that are here: a registry is not asked.
        """
        return await compared_images(self.read.peek(name), self._runtimes)

    def put(
        self,
        caller: Caller,
        name: AppName,
        body: AppBody,
        *,
        is_forced: bool = False,
        rebuilt: frozenset[str] = frozenset(),
    ) -> tuple[AppView, bool] | Previews:
        """Create or replace an app; returns its view and whether it is new."""
        is_new = self._store.view(folded(name)).app is None
        change = Change(name, lambda _: body, is_forced=is_forced, rebuilt=rebuilt)
        done = self._one(caller, change)
        return done if isinstance(done, Previews) else (done, is_new)

    def patch(
        self,
        caller: Caller,
        name: AppName,
        body: BodyOf,
        *,
        is_asked: bool,
        is_forced: bool = False,
        rebuilt: frozenset[str] = frozenset(),
    ) -> Outcome:
        """Replace an app by what `body` makes of it; `is_asked` when it is about the template."""
        return self._one(caller, Change(name, body, True, is_asked, is_forced, rebuilt))

    def transact(self, caller: Caller, changes: Sequence[Change]) -> list[AppView] | Previews:
        """Change several apps, all or none."""
        work = self._work(caller)
        for change in changes:
            self._draft(work, change)
        return _ended(work, caller, lambda: [work.view(_known(work, c.app)) for c in changes])

    async def transact_in_turns(
        self, caller: Caller, changes: Sequence[Change]
    ) -> list[AppView] | Previews:
        """The same without holding up others; what they change meanwhile is drafted again."""
        work, turn = self._work(caller), Turn()
        todo = list(changes)
        for attempt in range(_DRAFTS + 1):
            is_last = attempt == _DRAFTS  # then nobody gets in between
            for change in todo:
                self._draft(work, change)
                if not is_last:
                    await turn.over()
            if not is_last:
                await work.make(turn)
            stale = work.take_stale()
            todo = [change for change in changes if folded(change.app) in stale]
            if not todo:
                break
        for view in work.changed():
            if view.app is not None:
                self.places.check_is_there(view.app)  # somebody may have had a turn since
        return _ended(work, caller, lambda: [work.view(_known(work, c.app)) for c in changes])

    def _one(self, caller: Caller, change: Change) -> Outcome:
        done = self.transact(caller, [replace(change, conditions=_conditions(caller))])
        return done if isinstance(done, Previews) else done[0]

    def _work(self, caller: Caller) -> UnitOfWork:
        return UnitOfWork(self._store, self.domain, caller)

    def _draft(self, work: UnitOfWork, change: Change) -> None:
        name = _known(work, change.app)
        if change.body is None:
            work.change(
                name,
                lambda view, _: replace(view, app=None, revisions={}),
                change.conditions,
            )
            return
        if change.is_existing and work.view(name).app is None:
            raise no_app(change.app)
        body = self.places.placed(change.body(work.view(name)), work.view(name))
        deploy = partial(
            commands.deploy,
            is_asked=change.is_asked,
            is_forced=change.is_forced,
            rebuilt=change.rebuilt,
        )
        together(
            lambda: self._runtimes[body.template.runtime].check(body.template),
            lambda: work.change(
                name,
                lambda view, now: deploy(view, name, body, now, new_suffix),
                change.conditions,
                is_existing=change.is_existing,
            ),
        )

    def copy(
        self,
        caller: Caller,
        app: AppName,
        revision: RevisionName,
        changes: Callable[[Template], Template],
        target_label: LabelName,
    ) -> Outcome:
        """Deploy again what a revision runs, with changes; labels mode needs a label for it."""
        _, base = self.read.revision(app, revision)
        template = changes(base.template)
        return self.patch(
            caller, app, lambda view: _with_template(view, template, target_label), is_asked=True
        )

    def delete(self, caller: Caller, name: AppName) -> Previews | None:
        """Delete an app; its replicas drain and end. Works on one that cannot be read, too."""
        if folded(name) in self._store.unreadable:
            return self._discard(caller, folded(name))
        done = self._one(caller, Change(name, None))
        return done if isinstance(done, Previews) else None

    def _discard(self, caller: Caller, name: AppName) -> Previews | None:
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._store.discard(name, journal.record(name, _NOTHING, _NOTHING, caller, time.time()))
        return None

    def delete_group(self, caller: Caller, name: str) -> Previews | None:
        """Delete a resource group with its apps and environments."""
        self.places.check_removal(name)
        apps = self.places.apps_in(name)
        done = self.transact(caller, [Change(app.name, None) for app in apps])
        if isinstance(done, Previews):
            return done
        for app in self.places.unreadable_in(name):
            self._discard(caller, app)
        self.places.remove_group(name)
        return None

    def set_mode(
        self, caller: Caller, app: AppName, mode: str, target_label: LabelName = NO_LABEL
    ) -> Outcome:
        """Switch between single, multiple and labels."""
        return self._change(
            caller, app, lambda view, now: commands.set_mode(view, mode, now, target_label)
        )

    def set_traffic(self, caller: Caller, app: AppName, rules: tuple[TrafficRule, ...]) -> Outcome:
        """Replace the traffic rules."""
        return self._change(caller, app, lambda view, now: commands.set_traffic(view, rules, now))

    def add_label(
        self, caller: Caller, app: AppName, label: LabelName, revision: RevisionName
    ) -> Outcome:
        return self._change(
            caller, app, lambda view, now: commands.add_label(view, label, folded(revision), now)
        )

    def remove_label(self, caller: Caller, app: AppName, label: LabelName) -> Outcome:
        return self._change(caller, app, lambda view, now: commands.remove_label(view, label, now))

    def swap_labels(
        self, caller: Caller, app: AppName, first: LabelName, second: LabelName
    ) -> Outcome:
        """Exchange two labels."""
        return self._change(
            caller, app, lambda view, now: commands.swap_labels(view, first, second, now)
        )

    def activate(self, caller: Caller, app: AppName, revision: RevisionName) -> Outcome:
        """Bring a revision back."""
        return self._change(
            caller, app, lambda view, now: commands.activate(view, folded(revision), now)
        )

    def deactivate(self, caller: Caller, app: AppName, revision: RevisionName) -> Outcome:
        """Send a revision to rest."""
        return self._change(
            caller, app, lambda view, now: commands.rest(view, folded(revision), now)
        )

    def restart(self, caller: Caller, app: AppName, revision: RevisionName) -> Outcome:
        """Replace a revision's replicas one at a time."""
        return self._change(
            caller, app, lambda view, now: commands.restart(view, folded(revision), now)
        )

    def set_stopped(self, caller: Caller, app: AppName, *, is_stopped: bool) -> Outcome:
        """Stop or start an app."""
        return self._change(
            caller,
            app,
            lambda view, now: commands.set_stopped(view, now, is_stopped=is_stopped),
        )

    def set_secrets(self, caller: Caller, app: AppName, values: Mapping[str, str]) -> Outcome:
        """Add secrets or replace their values."""
        return self._change(caller, app, lambda view, now: commands.set_secrets(view, values, now))

    def remove_secret(self, caller: Caller, app: AppName, name: str) -> Outcome:
        """Take a secret away. Raises Invalid while something needs it."""
        return self._change(caller, app, lambda view, now: commands.remove_secret(view, name, now))

    def set_fault(
        self, caller: Caller, app: AppName, revision: RevisionName, fault: Fault, ends_at: float
    ) -> Outcome:
        """Let a fault act on a revision until a steady moment."""
        return self._change(
            caller,
            app,
            lambda view, now: commands.set_fault(view, folded(revision), fault, ends_at, now),
        )

    def clear_fault(self, caller: Caller, app: AppName, revision: RevisionName) -> Outcome:
        return self._change(
            caller, app, lambda view, now: commands.clear_fault(view, folded(revision), now)
        )

    def forget_label(self, caller: Caller, app: AppName, label: LabelName) -> Outcome:
        """Drop the history of a label."""
        return self._change(caller, app, lambda view, _: commands.forget_label(view, label))

    # --- going back

    def roll_back(
        self, caller: Caller, app: AppName, to: int = 0, known: int = 0
    ) -> tuple[AppView, Record] | Previews:
        """Restore an app's state as of a record, and return that too.

        By default it is the state before the last change that can be undone; a rollback is none,
        so a second one goes further back, unless the first one still waits. `known` is the newest
        record that the caller knows of.
        """
        view = self.read.app(app)
        if to := to or rollback.awaited(view):
            record = self.read.record(app, to)
            return self._restored(self._restoring(caller, app, record), caller, app, record)
        for record in rollback.ways_back(self.read.records(app)):
            if record.state is None:  # the app was deleted: what was before was another one
                break
            if not rollback.was_in_force(view, record.state):
                continue
            work = self._restoring(caller, app, record)
            if not rollback.is_there_already(view, work.view(folded(app))):
                rollback.check_is_first(self.read.records(app), caller, known, record)
                return self._restored(work, caller, app, record)
        raise Invalid(
            f"there is nothing further back to roll app {app} back to: {traffic.who_serves(view)}; "
            f"turnout journal {app} shows every change, and --to goes to one of them"
        )

    def _restored(
        self, work: UnitOfWork, caller: Caller, app: AppName, record: Record
    ) -> tuple[AppView, Record] | Previews:
        return _ended(work, caller, lambda: (work.view(folded(app)), record))

    def _restoring(self, caller: Caller, app: AppName, record: Record) -> UnitOfWork:
        state = record.state
        if state is None:
            raise Invalid(f"record {record.number} is that of a deletion: there is nothing in it")
        work = self._work(caller)
        work.change(
            folded(app),
            lambda view, now: rollback.roll_back(view, state, now, record.number),
            _conditions(caller),
            restores=record.number,
        )
        return work

    def cancel(self, caller: Caller, app: AppName) -> tuple[AppView, Revision] | Previews:
        """Give up the deploy or rollback that is under way, and return the revision dropped."""
        dropped = commands.under_way(self.read.app(app))
        done = self._change(caller, app, commands.cancel)
        assert dropped is not None  # else the command has raised
        return done if isinstance(done, Previews) else (done, dropped)

    def _change(self, caller: Caller, name: AppName, command: Command) -> Outcome:
        name, work = folded(name), self._work(caller)
        work.change(name, command, _conditions(caller))
        return _ended(work, caller, lambda: work.view(name))


def _ended(work: UnitOfWork, caller: Caller, result: Callable[[], T]) -> T | Previews:
    """What a caller gets who makes a change, or who only wants to know what it would do."""
    if caller.is_dry_run:
        return work.preview()
    work.commit()
    return result()


def _known(work: UnitOfWork, name: AppName) -> AppName:
    """Names are found in any case; a new one is checked as it was written."""
    lower = folded(name)
    return name if work.view(lower).app is None else lower


def _conditions(caller: Caller) -> Conditions:
    return Conditions(caller.if_match, caller.if_none_match)


def _with_template(view: AppView, template: Template, target_label: LabelName) -> AppBody:
    assert view.app is not None
    configuration = view.app.configuration.model_copy(update={"target_label": target_label})
    return AppBody(configuration=configuration, template=template)


def new_suffix() -> str:
    """Seven letters and digits, a letter first."""
    letters = commands.SUFFIX_ALPHABET[: commands.SUFFIX_LETTERS]
    rest = (secrets.choice(commands.SUFFIX_ALPHABET) for _ in range(commands.SUFFIX_LENGTH - 1))
    return secrets.choice(letters) + "".join(rest)

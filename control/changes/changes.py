"""Commands on the store: check, change in memory, record. The API's handlers call nothing else.

A command is synchronous from reading the view to the commit, so two callers never interleave.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from control.changes.dry_run import refuse_dry_run
from control.changes.places import Places
from control.changes.preconditions import UNCONDITIONAL, Conditions
from control.changes.rebuilt import Compared, compared
from control.changes.turn import Turn
from control.changes.unit_of_work import Command, Draft
from control.history import journal
from control.history.journal import Record
from control.model import traffic
from control.model.errors import Invalid, NotFound, no_app, no_revision, together
from control.model.resources import AppView, Replica, Revision, replace
from control.model.schema import AppBody, TrafficRule
from control.model.template import Template
from control.rules import commands, rollback
from control.runtime import Runtimes
from control.store import Store
from router.contract.snapshot import Fault

_DRAFTS = 3  # of a transaction in turns, before it is made in one go
_NOTHING = AppView(None)
_NEWEST = 1 << 62  # above every record's number, and no larger than SQLite's numbers
BodyOf = Callable[[AppView], AppBody]


@dataclass(frozen=True, slots=True)
class Change:
    """One app to be created, replaced or, without a body, deleted."""

    app: str
    body: BodyOf | None
    is_existing: bool = False  # a patch: there has to be something to change
    is_asked: bool = False  # a patch that is about the template: one that failed is tried again
    is_forced: bool = False  # a new revision, although nothing changed
    rebuilt: frozenset[str] = frozenset()  # revisions whose images are others by now
    conditions: Conditions = UNCONDITIONAL


class Service:
    """What callers can ask of the control plane."""

    def __init__(self, store: Store, runtimes: Runtimes, domain: str, places: Places) -> None:
        self._store = store
        self._runtimes = runtimes
        self.domain = domain
        self.places = places

    # --- reading

    def apps(self) -> list[AppView]:
        """All apps, by name."""
        return [self._store.view(name) for name in self._store.names()]

    def app(self, name: str) -> AppView:
        """One app. Raises NotFound."""
        view = self._store.view(name.lower())
        self._store.check_readable(name.lower())
        if view.app is None:
            raise no_app(name)
        return view

    def peek(self, name: str) -> AppView:
        """What there is of an app, also when it has been deleted and its replicas still drain."""
        return self._store.view(name.lower())

    def rival(self, app: str, host: str) -> str:
        """The other app that keeps an app from having a custom domain; empty for none."""
        return self._store.owners.rival(app.lower(), host)

    def revision(self, app: str, name: str) -> tuple[AppView, Revision]:
        """One revision. Raises NotFound."""
        view = self.app(app)
        revision = view.revisions.get(name.lower())
        if revision is None:
            raise no_revision(app, name, view.revisions)
        return view, revision

    def replica(self, app: str, revision: str, name: str) -> Replica:
        """One replica. Raises NotFound."""
        view, found = self.revision(app, revision)
        for replica in view.of(found.name):
            if replica.name == name.lower():
                return replica
        raise NotFound(f"revision {revision} has no replica {name}")

    async def logs(self, replica: Replica, tail: int, container: str = "") -> list[str]:
        """The last lines of a container's output; the main one's if none is named."""
        self._check_container(replica, container)
        return await self._runtimes[replica.runtime].logs(replica.name, tail, container)

    def follow(self, replica: Replica, tail: int, container: str = "") -> AsyncIterator[str]:
        """Those, and what comes, until the replica has ended."""
        self._check_container(replica, container)
        return self._runtimes[replica.runtime].follow(replica.name, tail, container)

    def _check_container(self, replica: Replica, container: str) -> None:
        _, revision = self.revision(replica.app, replica.revision)
        template = revision.template
        names = [c.name for c in (*template.containers, *template.init_containers)]
        if container and container not in names:
            known = ", ".join(names)
            raise NotFound(f"revision {revision.name} has no container {container}; it has {known}")

    # --- changing

    async def compared(self, name: str) -> Compared:
        """The revisions that a deploy may repeat, by whether their images are others by now.

        Only for those that are here: a registry is not asked.
        """
        return await compared(self.peek(name), self._runtimes)

    def put(
        self,
        name: str,
        body: AppBody,
        *,
        is_forced: bool = False,
        rebuilt: frozenset[str] = frozenset(),
    ) -> tuple[AppView, bool]:
        """Create or replace an app; returns its view and whether it is new."""
        is_new = self._store.view(name.lower()).app is None
        change = Change(name, lambda _: body, is_forced=is_forced, rebuilt=rebuilt)
        return self._one(change), is_new

    def patch(
        self,
        name: str,
        body: BodyOf,
        *,
        is_asked: bool,
        is_forced: bool = False,
        rebuilt: frozenset[str] = frozenset(),
    ) -> AppView:
        """Replace an app by what `body` makes of it; `is_asked` when it is about the template."""
        return self._one(Change(name, body, True, is_asked, is_forced, rebuilt))

    def transact(self, changes: Sequence[Change]) -> list[AppView]:
        """Change several apps, all or none."""
        draft = Draft(self._store, self.domain)
        for change in changes:
            self._draft(draft, change)
        draft.commit()
        return [draft.view(_known(draft, change.app)) for change in changes]

    async def transact_in_turns(self, changes: Sequence[Change]) -> list[AppView]:
        """The same without holding up others; what they change meanwhile is drafted again."""
        draft, turn = Draft(self._store, self.domain), Turn()
        todo = list(changes)
        for attempt in range(_DRAFTS + 1):
            is_last = attempt == _DRAFTS  # then nobody gets in between
            for change in todo:
                self._draft(draft, change)
                if not is_last:
                    await turn.over()
            if not is_last:
                await draft.make(turn)
            stale = draft.take_stale()
            todo = [change for change in changes if change.app.lower() in stale]
            if not todo:
                break
        for view in draft.changed():
            if view.app is not None:
                self.places.check_is_there(view.app)  # somebody may have had a turn since
        draft.commit()
        return [draft.view(_known(draft, change.app)) for change in changes]

    def _one(self, change: Change) -> AppView:
        return self.transact([replace(change, conditions=_conditions())])[0]

    def _draft(self, draft: Draft, change: Change) -> None:
        name = _known(draft, change.app)
        if change.body is None:
            draft.change(
                name,
                lambda view, _: AppView(None, {}, view.replicas),
                change.conditions,
            )
            return
        if change.is_existing and draft.view(name).app is None:
            raise no_app(change.app)
        body = self.places.placed(change.body(draft.view(name)), draft.view(name))
        deploy = partial(
            commands.deploy,
            is_asked=change.is_asked,
            is_forced=change.is_forced,
            rebuilt=change.rebuilt,
        )
        together(
            lambda: self._runtimes[body.template.runtime].check(body.template),
            lambda: draft.change(
                name,
                lambda view, now: deploy(view, name, body, now, new_suffix),
                change.conditions,
                is_existing=change.is_existing,
            ),
        )

    def copy(
        self, app: str, revision: str, changes: Callable[[Template], Template], target_label: str
    ) -> AppView:
        """Deploy again what a revision runs, with changes; labels mode needs a label for it."""
        _, base = self.revision(app, revision)
        template = changes(base.template)
        return self.patch(
            app, lambda view: _with_template(view, template, target_label), is_asked=True
        )

    def delete(self, name: str) -> None:
        """Delete an app; its replicas drain and end. Works on one that cannot be read, too."""
        if name.lower() in self._store.unreadable:
            self._discard(name.lower())
            return
        self._one(Change(name, None))

    def _discard(self, name: str) -> None:
        refuse_dry_run()
        self._store.discard(name, journal.record(name, _NOTHING, _NOTHING, time.time()))

    def delete_group(self, name: str) -> None:
        """Delete a resource group with its apps and environments."""
        self.places.check_removal(name)
        apps = self.places.apps_in(name)
        if apps:
            self.transact([Change(app.name, None) for app in apps])
        refuse_dry_run()
        for app in self.places.unreadable_in(name):
            self._discard(app)
        self.places.remove_group(name)

    def set_mode(self, app: str, mode: str, target_label: str = "") -> AppView:
        """Switch between single, multiple and labels."""
        return self._change(app, lambda view, now: commands.set_mode(view, mode, now, target_label))

    def set_traffic(self, app: str, rules: tuple[TrafficRule, ...]) -> AppView:
        """Replace the traffic rules."""
        return self._change(app, lambda view, now: commands.set_traffic(view, rules, now))

    def add_label(self, app: str, label: str, revision: str) -> AppView:
        return self._change(
            app, lambda view, now: commands.add_label(view, label, revision.lower(), now)
        )

    def remove_label(self, app: str, label: str) -> AppView:
        return self._change(app, lambda view, now: commands.remove_label(view, label, now))

    def swap_labels(self, app: str, first: str, second: str) -> AppView:
        """Exchange two labels."""
        return self._change(app, lambda view, now: commands.swap_labels(view, first, second, now))

    def activate(self, app: str, revision: str) -> AppView:
        """Bring a revision back."""
        return self._change(app, lambda view, now: commands.activate(view, revision.lower(), now))

    def deactivate(self, app: str, revision: str) -> AppView:
        """Send a revision to rest."""
        return self._change(app, lambda view, now: commands.rest(view, revision.lower(), now))

    def restart(self, app: str, revision: str) -> AppView:
        """Replace a revision's replicas one at a time."""
        return self._change(app, lambda view, now: commands.restart(view, revision.lower(), now))

    def set_stopped(self, app: str, *, is_stopped: bool) -> AppView:
        """Stop or start an app."""
        return self._change(
            app,
            lambda view, now: commands.set_stopped(view, now, is_stopped=is_stopped),
        )

    def set_secrets(self, app: str, values: Mapping[str, str]) -> AppView:
        """Add secrets or replace their values."""
        return self._change(app, lambda view, now: commands.set_secrets(view, values, now))

    def remove_secret(self, app: str, name: str) -> AppView:
        """Take a secret away. Raises Invalid while something needs it."""
        return self._change(app, lambda view, now: commands.remove_secret(view, name, now))

    def set_fault(self, app: str, revision: str, fault: Fault, ends_at: float) -> AppView:
        """Let a fault act on a revision until a steady moment."""
        return self._change(
            app, lambda view, now: commands.set_fault(view, revision.lower(), fault, ends_at, now)
        )

    def clear_fault(self, app: str, revision: str) -> AppView:
        return self._change(
            app, lambda view, now: commands.clear_fault(view, revision.lower(), now)
        )

    def forget_label(self, app: str, label: str) -> AppView:
        """Drop the history of a label."""
        return self._change(app, lambda view, _: commands.forget_label(view, label))

    # --- journal

    def journal(self, app: str = "", before: int = 0, limit: int = 50) -> list[Record]:
        """What was changed, newest first."""
        return self._store.journal(app.lower(), min(before or _NEWEST, _NEWEST), limit)

    def roll_back(self, app: str, to: int = 0, known: int = 0) -> tuple[AppView, Record]:
        """Restore an app's state as of a record, and return that too.

        By default it is the state before the last change that can be undone; a rollback is none,
        so a second one goes further back, unless the first one still waits. `known` is the newest
        record that the caller knows of.
        """
        view = self.app(app)
        if to := to or rollback.awaited(view):
            record = self._numbered(app, to)
            return self._restore(app, record).commit_one(app), record
        for record in rollback.ways_back(self._records(app)):
            if record.state is None:  # the app was deleted: what was before was another one
                break
            if not rollback.was_in_force(view, record.state):
                continue
            draft = self._restore(app, record)
            if not rollback.is_there_already(view, draft.view(app.lower())):
                rollback.check_is_first(self._records(app), known, record)
                return draft.commit_one(app), record
        raise Invalid(
            f"there is nothing further back to roll app {app} back to: {traffic.told(view)}; "
            f"turnout journal {app} shows every change, and --to goes to one of them"
        )

    def _restore(self, app: str, record: Record) -> Draft:
        state = record.state
        if state is None:
            raise Invalid(f"record {record.number} is that of a deletion: there is nothing in it")
        draft = Draft(self._store, self.domain)
        draft.change(
            app.lower(),
            lambda view, now: rollback.roll_back(view, state, now, record.number),
            _conditions(),
            restores=record.number,
        )
        return draft

    def cancel(self, app: str) -> tuple[AppView, Revision]:
        """Give up the deploy or rollback that is under way, and return the revision dropped."""
        dropped = commands.under_way(self.app(app))
        view = self._change(app, commands.cancel)
        assert dropped is not None  # else the command has raised
        return view, dropped

    def _numbered(self, app: str, number: int) -> Record:
        for record in self.journal(app, before=number + 1, limit=1):
            if record.number == number:
                return record
        raise NotFound(f"app {app} has no record {number}; its numbers: turnout journal {app}")

    def _records(self, app: str) -> Iterator[Record]:
        """All of an app, newest first."""
        before = 0
        while records := self.journal(app, before):
            yield from records
            before = records[-1].number

    def _change(self, name: str, command: Command) -> AppView:
        name = name.lower()
        draft = Draft(self._store, self.domain)
        draft.change(name, command, _conditions())
        return draft.commit_one(name)


def _known(draft: Draft, name: str) -> str:
    """Names are found in any case; a new one is checked as it was written."""
    lower = name.lower()
    return name if draft.view(lower).app is None else lower


def _conditions() -> Conditions:
    caller = journal.CALLER.get()
    if caller is None:
        return UNCONDITIONAL
    return Conditions(caller.if_match, caller.if_none_match)


def _with_template(view: AppView, template: Template, target_label: str) -> AppBody:
    assert view.app is not None
    configuration = view.app.configuration.model_copy(update={"target_label": target_label})
    return AppBody(configuration=configuration, template=template)


def new_suffix() -> str:
    """Seven letters and digits, a letter first."""
    letters = commands.SUFFIX_ALPHABET[: commands.SUFFIX_LETTERS]
    rest = (secrets.choice(commands.SUFFIX_ALPHABET) for _ in range(commands.SUFFIX_LENGTH - 1))
    return secrets.choice(letters) + "".join(rest)

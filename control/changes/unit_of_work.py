"""Changes of one request, made together or not at all: one transaction, one table version."""

from __future__ import annotations

import time
from collections.abc import Callable

from control.changes.dry_run import Preview, Previews, preview
from control.changes.preconditions import UNCONDITIONAL, Conditions
from control.changes.turn import Turn
from control.history import journal, label_history
from control.history.caller import Caller
from control.model.errors import Conflict, PreconditionFailed, no_app
from control.model.kinds import AppName
from control.model.resources import AppView, replace
from control.rules import domains
from control.rules.sameness import is_same
from control.store import Store, Write, rows_of

Command = Callable[[AppView, float], AppView]


class UnitOfWork:
    """What apps would be after the commands so far; nobody sees it before `commit`."""

    def __init__(self, store: Store, domain: str, caller: Caller) -> None:
        self._store = store
        self._domain = domain
        self._caller = caller
        self._now = time.time()
        self._old: dict[AppName, AppView] = {}  # what was read, also of apps that stay as they are
        self._new: dict[AppName, AppView] = {}
        self._made: dict[AppName, Write] = {}
        self._restores: dict[
            AppName, int
        ] = {}  # the record that a rollback of the app goes back to

    def view(self, name: AppName) -> AppView:
        """An app as it would be."""
        return self._new.get(name) or self._store.view(name)

    def change(
        self,
        name: AppName,
        command: Command,
        conditions: Conditions = UNCONDITIONAL,
        *,
        is_existing: bool = True,
        restores: int = 0,
    ) -> AppView:
        """Apply a command to an app. Raises what the command raises, and PreconditionFailed.

        Raises NotFound when there is no app but has to be one (`is_existing`), whatever the
        conditions say (RFC 9110 §13.2.1).
        """
        self._store.check_readable(name)
        old = self.view(name)
        if is_existing and old.app is None:
            raise no_app(name)
        _check(old, conditions)
        new = command(old, self._now)
        self._old.setdefault(name, old)
        if is_same(old, new):
            return old  # asking twice for the same is no change
        if not restores:
            _refuse_while_restoring(old, new)
        self._new[name] = new
        self._restores[name] = restores
        self._made.pop(name, None)
        return new

    def changed(self) -> list[AppView]:
        """The apps that will be recorded, as they would be."""
        return list(self._new.values())

    def take_stale(self) -> set[AppName]:
        """The apps that somebody else changed meanwhile; nothing is drafted for them any more."""
        stale = {
            name for name, old in self._old.items() if self._store.view(name).serial != old.serial
        }
        for name in stale:
            del self._old[name]
            self._new.pop(name, None)
            self._made.pop(name, None)
        return stale

    async def make(self, turn: Turn) -> None:
        """Make what will be written, so that `commit` has little left to do."""
        for name in list(self._new):
            if name not in self._made:
                self._make(name)
                await turn.over()

    def preview(self) -> Previews:
        """What `commit` would do, and nothing is recorded. Raises what `commit` would."""
        self._check_domains()
        return Previews({name: self._preview(name) for name in self._new})

    def commit(self) -> None:
        """Record everything. Raises Invalid for custom domains that an app cannot have."""
        self._check_domains()
        self._store.write_all([self._made.get(name) or self._make(name) for name in self._new])

    def _check_domains(self) -> None:
        changed = {name: (self._old[name], new) for name, new in self._new.items()}
        domains.check(self._store.owners, self._domain, changed)

    def _preview(self, name: AppName) -> Preview:
        return preview(self._old[name], self._new[name], self._domain, self._now)

    def _make(self, name: AppName) -> Write:
        old, new = self._old[name], self._new[name]
        if new.app is not None:
            version = old.app.version + 1 if old.app is not None else 1
            new = new.with_app(replace(new.app, version=version, problem=""))
            new = label_history.follow(old, new, self._now)
        self._new[name] = new
        restores = self._restores.get(name, 0)
        record = journal.record(name, old, new, self._caller, self._now, restores)
        write = Write(name, old, new, record)
        made = self._made[name] = replace(write, rows=rows_of(old, write))
        return made


def _check(view: AppView, conditions: Conditions) -> None:
    version = view.app.version if view.app is not None else None
    if conditions.hold(version):
        return
    state = f"is at version {version}" if version is not None else "does not exist"
    raise PreconditionFailed(f"the app {state}, and {conditions} asks for another; read it again")


def _refuse_while_restoring(old: AppView, new: AppView) -> None:
    """A write that lets a rollback wait on would be lost when that completes."""
    if old.app is None or new.app is None or not old.app.restoring:
        return
    if new.app.restoring == old.app.restoring:
        needs = ", ".join(old.app.restoring["needs"])
        raise Conflict(
            f"a rollback of app {old.app.name} waits until {needs} is ready; repeat this then, "
            f"or give the rollback up first: turnout deploy {old.app.name} --cancel",
            code="ContainerAppOperationInProgress",
        )

"""The store: one SQLite file in WAL mode, one writer, numbered migrations.

Every write is one transaction and is compared and set: it names the view it was made from and
fails if that is not the present one. All reads are from memory, which changes only after the
commit; so what a reader sees is on disk, and a crash at any line loses nothing acknowledged. Only
what was observed of replicas is seen some moments earlier: it is written many apps at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from control.history.journal import Record
from control.model.errors import Conflict, StoreUnavailable
from control.model.kinds import AppName
from control.model.resources import AppView
from control.rules import domains
from control.store.documents import Change, D, decoded, write_documents
from control.store.opening import LOCK_S, open_database, unreadable_state
from control.store.reading import damaged, read_journal, read_views, unread
from control.store.retention import Retention, victims
from control.store.served import hosts_served, read_served, write_served
from control.store.state_file import StateFile
from control.store.transaction import Transaction, unavailable
from control.store.write_ahead_log import is_long, move
from control.store.writing import Row, Rows, Write, put_meta, row_of, rows_of, write_view
from router.contract.domains import Owners
from router.process.config import BadSettings
from router.process.state import lock_alone, prepare

log = logging.getLogger("turnout.control")


_NOTHING = AppView(None)
_SETTLED_AT_ONCE = 50  # apps written in one go: some milliseconds
_MOST_RECORDS = 1000  # unwritten journal records; the oldest are dropped beyond that


class Store:
    """The recorded state of all apps. Not thread-safe: it lives on one event loop."""

    def __init__(self, path: Path) -> None:
        prepare(path.parent)
        lock = path.with_name(path.name + ".lock")
        self._lock = lock_alone(lock, path.parent, "control plane")
        try:
            self._path = path
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise unreadable_state(path, error) from None
        except PermissionError as error:
            self._lock.close()
            whose = f"chown -R USER {path.parent}, with the user that turnout runs as"
            raise BadSettings(f"state: {path} is another's ({error.strerror}); {whose}") from None
        except BaseException:
            self._lock.close()
            raise

    def _open(self, path: Path) -> None:
        path.touch(mode=0o600)  # it holds secrets; SQLite's other files get the same mode
        self._db = open_database(path)
        self._file = StateFile(path)
        views, self.unreadable, self._damage = read_views(self._db)
        self._views = {n: replace(v, serial=s) for s, (n, v) in enumerate(views.items(), 1)}
        self._shown = len(self._views)  # the serial of the last view that was shown
        self.trouble = _unwritable(self._damage)  # why the last write failed; empty when it did not
        self._unwritten: dict[AppName, AppView] = {}  # what is on disk, where memory is ahead
        self._unwritten_records: deque[Row] = deque(maxlen=_MOST_RECORDS)
        self._writes_soon = False
        self._moved_at = 0  # the number of changes when the log was last moved
        self._pruned_to = 0  # the record number behind which the next turn continues
        self._watchers: list[Callable[[AppName], None]] = []
        self.on_record: Callable[[Record], None] = lambda record: None
        self.owners = Owners()  # of names and custom domains
        for name, view in list(self._views.items()):
            try:
                domains.follow(self.owners, name, _NOTHING, view)
            except (TypeError, KeyError, AttributeError) as error:
                self._leave_out(name, error)
        for name, found in self.unreadable.items():
            log.error("event=quarantined app=%s reason=%r", name, found.why)
            self.owners.claim(name, hosts_served(self._db, name))
        self.instance = self._once("instance", secrets.token_hex(8))

    def close(self) -> None:
        """Close the file, so that another control plane can use it."""
        if self._lock.closed:
            return
        self.settle()
        while self._unwritten and not self.trouble:
            self.settle()
        self._db.close()
        self._file.close()
        self._lock.close()

    # --- reading

    def names(self) -> list[AppName]:
        """The names of all apps that exist."""
        return sorted(name for name, view in self._views.items() if view.app is not None)

    def every(self) -> Iterator[tuple[AppName, AppView]]:
        """All views, including those of deleted apps whose replicas still drain."""
        yield from list(self._views.items())

    def view(self, app: AppName) -> AppView:
        """One app's view; an empty one if the app does not exist."""
        return self._views.get(app, _NOTHING)

    def check_readable(self, app: AppName) -> None:
        """Raise Conflict for an app with an unreadable record."""
        found = self.unreadable.get(app)
        if found is not None:
            raise Conflict(
                f"app {app} is quarantined and served as it was: {found.why}; "
                "bring a backup back (turnout restore FILE), or delete the app",
                code="AppQuarantined",
            )

    def set_aside(self, name: AppName, error: Exception) -> None:
        """Quarantine an app whose record cannot be used, whatever the error was."""
        domains.follow(self.owners, name, self.view(name), _NOTHING)
        self._leave_out(name, error)
        log.error("event=quarantined app=%s reason=%r", name, self.unreadable[name].why)
        self.owners.claim(name, hosts_served(self._db, name))

    def _leave_out(self, name: AppName, error: Exception) -> None:
        why = f"the record of app {name} cannot be used ({error!r})"
        self.unreadable[name] = unread(self._db, name, self._views.pop(name), why)
        self._unwritten.pop(name, None)

    # --- writing

    def watch(self, watcher: Callable[[AppName], None]) -> None:
        """Call `watcher` with an app's name after each change of it."""
        self._watchers.append(watcher)

    def write(
        self, name: AppName, old: AppView, new: AppView, record: Record | None = None
    ) -> None:
        """Replace an app's view. Raises Conflict if `old` is not the present one."""
        self.write_all([Write(name, old, new, record)])

    def write_all(self, writes: Sequence[Write]) -> None:
        """Replace several views and add their records in one transaction. Raises Conflict."""
        changed = self._changed(writes)
        if not changed:
            return
        with self._transaction() as db:
            for write in changed:
                write_view(db, write, self._unwritten.get(write.name))
        for write in changed:
            self._unwritten.pop(write.name, None)
            self._show(write.name, write.new)
        for write in changed:
            if write.record is not None:
                self.on_record(write.record)
            self._tell(write.name)

    def observe(
        self, name: AppName, old: AppView, new: AppView, record: Record | None = None
    ) -> None:
        """Replace an app's view by what was observed, and what follows from that.

        Readers see it at once; it is written together with everything else observed in this turn of
        the loop, or as soon as the disk allows. What a crash loses of it is observed again after
        the next start. Raises Conflict.
        """
        if not self._changed([Write(name, old, new, record)]):
            return
        if record is not None:
            self._unwritten_records.append(row_of(record))
            self.on_record(record)
        self._unwritten.setdefault(name, old)
        self._show(name, new)
        self._write_soon()
        self._tell(name)

    def keep(self, names: Iterable[AppName]) -> None:
        """Write what was observed of some apps now, because something is about to depend on it."""
        waiting = [name for name in names if name in self._unwritten]
        if waiting and not self.trouble:
            self._write_observed(waiting)

    def is_behind(self, name: AppName) -> bool:
        """Whether part of an app's view could not be written."""
        return bool(self.trouble) and name in self._unwritten

    @property
    def is_settled(self) -> bool:
        """Whether everything in memory is on disk."""
        return not self._unwritten

    def settle(self) -> None:
        """Write some of what is only in memory; if there is nothing, check the file."""
        if self.trouble or self._unwritten:
            self._write_observed(list(self._unwritten)[:_SETTLED_AT_ONCE])
        else:
            self.trouble = _unwritable(self._file.wrong())

    def _write_soon(self) -> None:
        if self._writes_soon or self.trouble:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # without a running loop nothing else is observed in this turn
            self.settle()
            return
        self._writes_soon = True
        loop.call_soon(self._write_now)

    def _write_now(self) -> None:
        self._writes_soon = False
        if self._lock.closed or not self._unwritten:
            return
        self.settle()
        if self._unwritten:
            self._write_soon()

    def _write_observed(self, names: Sequence[AppName]) -> None:
        rows = [row for name in names for row in self._rows_observed(name)]
        try:
            with self._transaction(is_synced=False) as db:
                if self.trouble:
                    # a write that shows whether the disk works, even if nothing waits
                    put_meta(db, "settled", str(len(names)))
                for statement, values in (*rows, *self._unwritten_records):
                    db.execute(statement, values)
        except StoreUnavailable:
            return
        self._unwritten_records.clear()
        for name in names:
            del self._unwritten[name]

    def _rows_observed(self, name: AppName) -> Rows:
        """Rows that bring an app on disk up to date with memory; none if it cannot be encoded."""
        try:
            return rows_of(self._unwritten[name], Write(name, _NOTHING, self.view(name)))
        except (TypeError, ValueError) as error:  # of this app alone; its view stays in memory
            log.error("event=not_recorded app=%s reason=%r", name, str(error))
            return ()

    def _changed(self, writes: Sequence[Write]) -> list[Write]:
        """The writes that change something. Raises Conflict if one began from an older view."""
        for write in writes:
            self.check_readable(write.name)
            if self.view(write.name).serial != write.old.serial:
                raise Conflict(f"app {write.name} was changed meanwhile; read it again and repeat")
        return [write for write in writes if not write.is_void]

    @contextmanager
    def _transaction(self, *, is_synced: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing; the result is in `trouble`. Raises StoreUnavailable."""
        try:
            if wrong := self._damage or self._file.wrong():
                raise StoreUnavailable(_unwritable(wrong))
            with Transaction(self._db, is_synced=is_synced) as db:
                yield db
        except StoreUnavailable as error:
            self._note(error.message)
            raise
        self._note("")

    def _note(self, trouble: str) -> None:
        if bool(trouble) == bool(self.trouble):
            return
        self.trouble = trouble
        # A lock is waited for once; after that the loop has other things to do.
        self._db.execute(f"PRAGMA busy_timeout = {0 if trouble else int(LOCK_S * 1000)}")
        if trouble:
            log.error("event=state_not_written reason=%r", trouble)
        else:
            log.info("event=state_written_again")

    def _tell(self, name: AppName) -> None:
        for watcher in self._watchers:
            watcher(name)

    def discard(self, name: AppName, record: Record) -> None:
        """Delete an app with an unreadable record; its replicas are left to drain."""
        found = self.unreadable[name]
        with self._transaction() as db:
            db.execute(*row_of(record))
            db.execute("DELETE FROM apps WHERE name = ?", (name,))
            db.execute("DELETE FROM revisions WHERE app = ?", (name,))
            for (replica,) in db.execute("SELECT name FROM replicas WHERE app = ?", (name,)):
                if replica not in found.replicas:
                    db.execute("DELETE FROM replicas WHERE name = ?", (replica,))
        self.owners.release(name, hosts_served(self._db, name))
        del self.unreadable[name]
        self._show(name, AppView(None, {}, found.replicas))
        self._tell(name)

    def served(self) -> dict[str, bytes]:
        """What `put_served` has stored."""
        return read_served(self._db)

    def put_served(self, bodies: Mapping[str, bytes | None]) -> None:
        """Store what routers last got of some apps; None for an app that is gone."""
        with self._transaction(is_synced=False) as db:
            write_served(db, bodies)

    def _show(self, name: AppName, view: AppView) -> None:
        """Make this view the one that readers see."""
        domains.follow(self.owners, name, self.view(name), view)
        if view.app is None and not view.replicas:
            self._views.pop(name, None)
        else:
            self._shown += 1
            self._views[name] = replace(view, serial=self._shown)

    def journal(self, app: AppName, before: int, limit: int) -> list[Record]:
        """Records below a number, newest first; of one app, or of all for an empty name.

        Unreadable records are left out.
        """
        return read_journal(self._db, app, before, limit)

    def prune_journal(self, kept: Retention, now: float) -> int:
        """Delete some of the records that may go; returns how many. Raises StoreUnavailable."""
        try:
            gone, go_on = victims(self._db, kept, now, self._pruned_to)
        except sqlite3.Error as error:
            raise unavailable(error) from error
        if gone:
            with self._transaction() as db:
                db.executemany("DELETE FROM journal WHERE number = ?", [(n,) for n in gone])
        self._pruned_to = go_on
        return len(gone)

    async def move_log(self) -> None:
        """Move a long log into the database, in a thread, if anything was written meanwhile."""
        changes = self._db.total_changes
        if self.trouble or changes == self._moved_at or not is_long(self._path):
            return
        try:
            await asyncio.to_thread(move, self._path)
        except sqlite3.Error as error:  # writes still go to the log
            log.warning("event=log_not_moved reason=%r", str(error))
        else:
            self._moved_at = changes

    def put_meta(self, key: str, value: str) -> None:
        """Store a value under a key."""
        with self._transaction() as db:
            put_meta(db, key, value)

    def meta(self, key: str) -> str | None:
        """The value under a key."""
        try:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            # a damaged state is served as far as it can be read, and never written
            if self._damage:
                return None
            raise
        return str(row[0]) if row else None

    def documents(self, kind: str, make: Callable[[dict[str, Any]], D]) -> dict[str, D]:
        """The readable documents of a kind, such as resource groups, by key."""
        try:
            rows = self._db.execute("SELECT key, doc FROM documents WHERE kind = ?", (kind,))
            found = rows.fetchall()
        except sqlite3.OperationalError:
            if self._damage:
                return {}
            raise
        except sqlite3.DatabaseError as error:
            # An unread document must not be overwritten, so nothing is written at all.
            self._damage = self._damage or damaged(error)
            self.trouble = _unwritable(self._damage)
            return {}
        return dict(decoded(kind, found, make))

    def put_documents(self, changes: Iterable[Change]) -> None:
        """Write documents by kind and key in one transaction; None deletes."""
        with self._transaction() as db:
            write_documents(db, changes)

    # --- opening

    def _once(self, key: str, value: str) -> str:
        known = self.meta(key)
        if known is None and not self._damage:
            self.put_meta(key, value)
        return known or value


def _unwritable(wrong: str) -> str:
    return f"the state cannot be written: {wrong}" if wrong else ""

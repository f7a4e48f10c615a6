"""The store: one SQLite file in WAL mode, one writer, numbered migrations.

Every write is one transaction and is compared and set: it names the view it was made from and
fails if that is not the present one. All reads are from memory, which changes only after the
commit; so what a reader sees is on disk, and a crash at any line loses nothing acknowledged.
"""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from control.errors import Conflict, StoreUnavailable
from control.journal import Record
from control.resources import (
    App,
    AppView,
    app_from,
    replica_from,
    revision_from,
    to_doc,
)
from router.config import BadSettings

MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE apps (name TEXT PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE revisions (name TEXT PRIMARY KEY, app TEXT NOT NULL, doc BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE replicas (name TEXT PRIMARY KEY, app TEXT NOT NULL, doc BLOB NOT NULL)
        WITHOUT ROWID;
    """,
    """
    CREATE TABLE journal (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,
        app TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, doc BLOB NOT NULL);
    CREATE INDEX journal_app ON journal (app, number);
    """,
    """
    CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, doc BLOB NOT NULL,
        PRIMARY KEY (kind, key)) WITHOUT ROWID;
    """,
)

_NOTHING = AppView(None)
_LOCK_S = 0.2


@dataclass(frozen=True, slots=True)
class Write:
    """A view to replace, what with, and the record of it: neither is there without the other."""

    name: str
    old: AppView
    new: AppView
    record: Record | None = None

    @property
    def is_void(self) -> bool:
        """Whether both views are the same."""
        old, new = self.old, self.new
        same = old.app == new.app and old.revisions == new.revisions
        return same and old.replicas == new.replicas


class Store:
    """The recorded state of all apps. Not thread-safe: it lives on one event loop."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_name(path.name + ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BadSettings(
                f"state: another control plane uses {path.parent}; stop it or give another --state"
            ) from None
        path.touch(mode=0o600)  # secrets are in it; SQLite's other files take the same mode
        try:
            self._db = _open(path)
            self._views = self._load()
        except BadSettings:
            self._lock.close()
            raise
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise BadSettings(
                f"state: {path} cannot be read ({error}); move it away and restore a copy"
            ) from None
        self._watchers: list[Callable[[str], None]] = []
        self.epoch = self._once("epoch", secrets.token_hex(8))
        self.instance = self._once("instance", secrets.token_hex(8))

    def close(self) -> None:
        """Close the file and let another control plane have it."""
        self._db.close()
        self._lock.close()

    # --- reading

    def names(self) -> list[str]:
        """The names of all apps that exist."""
        return sorted(name for name, view in self._views.items() if view.app is not None)

    def every(self) -> Iterator[tuple[str, AppView]]:
        """All views, those of deleted apps whose replicas still drain included."""
        yield from list(self._views.items())

    def view(self, app: str) -> AppView:
        """One app's view; an empty one for an app that does not exist."""
        return self._views.get(app, _NOTHING)

    # --- writing

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with an app's name after each change of it."""
        self._watchers.append(watcher)

    def write(self, name: str, old: AppView, new: AppView, record: Record | None = None) -> None:
        """Replace an app's view. Raises Conflict if `old` is not the present one."""
        self.write_all([Write(name, old, new, record)])

    def write_all(self, writes: Sequence[Write]) -> None:
        """Replace several views in one transaction, their records with them. Raises Conflict."""
        for write in writes:
            if self.view(write.name) is not write.old:
                raise Conflict(f"app {write.name} was changed meanwhile; read it again and repeat")
        changed = [write for write in writes if not write.is_void]
        if not changed:
            return
        with _Transaction(self._db) as db:
            for write in changed:
                _write(db, write)
        for write in changed:
            if write.new.app is None and not write.new.replicas:
                self._views.pop(write.name, None)
            else:
                self._views[write.name] = write.new
        for write in changed:
            for watcher in self._watchers:
                watcher(write.name)

    def journal(self, app: str, before: int, limit: int) -> list[Record]:
        """Records below a number, newest first; of one app, or of all for an empty name."""
        found = self._db.execute(
            "SELECT number, at, app, who, note, doc FROM journal"
            " WHERE number < ? AND (? = '' OR app = ?) ORDER BY number DESC LIMIT ?",
            (before, app, app, limit),
        )
        return [
            Record(name, who, note, **orjson.loads(doc), number=number, at=at)
            for number, at, name, who, note, doc in found
        ]

    def put_meta(self, key: str, value: str) -> None:
        """Remember a value under a key."""
        with _Transaction(self._db) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def meta(self, key: str) -> str | None:
        """The value under a key."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """What is kept of a kind beside apps, such as resource groups, by key."""
        found = self._db.execute("SELECT key, doc FROM documents WHERE kind = ?", (kind,))
        return {key: orjson.loads(doc) for key, doc in found}

    def put_documents(self, changes: Iterable[tuple[str, str, dict[str, Any] | None]]) -> None:
        """Write documents by kind and key in one transaction; None deletes."""
        with _Transaction(self._db) as db:
            for kind, key, doc in changes:
                if doc is None:
                    db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
                    continue
                values = (kind, key, orjson.dumps(doc))
                db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", values)

    # --- opening

    def _once(self, key: str, value: str) -> str:
        known = self.meta(key)
        if known is None:
            self.put_meta(key, value)
        return known or value

    def _load(self) -> dict[str, AppView]:
        views: dict[str, AppView] = {}
        for name, doc in self._db.execute("SELECT name, doc FROM apps"):
            views[name] = AppView(app_from(orjson.loads(doc)))
        for name, app, doc in self._db.execute("SELECT name, app, doc FROM revisions"):
            views[app].revisions[name] = revision_from(orjson.loads(doc))
        for name, app, doc in self._db.execute("SELECT name, app, doc FROM replicas"):
            view = views.setdefault(app, AppView(None))
            view.replicas[name] = replica_from(orjson.loads(doc))
        return views


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; a failure rolls back and becomes StoreUnavailable."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        return self._db

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failure:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _unavailable(failure) from failure
        if isinstance(error, sqlite3.Error):
            raise _unavailable(error) from error


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the state cannot be written ({error}); nothing was changed")


def _open(path: Path) -> sqlite3.Connection:
    # Nobody else writes to it. Should somebody look at it with a lock, callers hear so at once.
    db = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_S)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # acknowledged means it survives a power cut too
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise BadSettings(f"state: {path} was written by a newer turnout (schema {version})")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _write(db: sqlite3.Connection, write: Write) -> None:
    old, new, record = write.old, write.new, write.record
    _write_app(db, write.name, old.app, new.app)
    _write_many(db, "revisions", write.name, old.revisions, new.revisions)
    _write_many(db, "replicas", write.name, old.replicas, new.replicas)
    if record is not None:
        doc = orjson.dumps({"changes": record.changes, "state": record.state})
        values = (record.at, record.app, record.who, record.note, doc)
        db.execute("INSERT INTO journal (at, app, who, note, doc) VALUES (?, ?, ?, ?, ?)", values)


def _write_app(db: sqlite3.Connection, name: str, old: App | None, new: App | None) -> None:
    if new == old:
        return
    if new is None:
        db.execute("DELETE FROM apps WHERE name = ?", (name,))
        return
    db.execute("INSERT OR REPLACE INTO apps VALUES (?, ?)", (name, orjson.dumps(to_doc(new))))


def _write_many(
    db: sqlite3.Connection,
    table: str,
    app: str,
    old: dict[str, Any],
    new: dict[str, Any],
) -> None:
    gone: Iterable[tuple[str]] = [(name,) for name in old if name not in new]
    put = [
        (name, app, orjson.dumps(to_doc(resource)))
        for name, resource in new.items()
        if old.get(name) is not resource
    ]
    db.executemany(f"DELETE FROM {table} WHERE name = ?", gone)  # noqa: S608 - our own names
    db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", put)  # noqa: S608

"""Opens the store's file: sets how SQLite treats it, and brings its schema up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from control.store.write_ahead_log import NOT_BY_COMMITS
from router.process.config import BadSettings

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
    # What routers last got of each app, for apps that cannot be compiled after a restart.
    "CREATE TABLE served (name TEXT PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;",
    """
    CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, doc BLOB NOT NULL,
        PRIMARY KEY (kind, key)) WITHOUT ROWID;
    """,
    # In a tree ordered by name a page holds two or three documents, and every change writes pages
    # of its own and those above them. Numbered rows lie side by side: 300 apps changed at once
    # write 1.4 MB instead of 3.5, in half the time.
    """
    ALTER TABLE apps RENAME TO old_apps;
    ALTER TABLE revisions RENAME TO old_revisions;
    ALTER TABLE replicas RENAME TO old_replicas;
    ALTER TABLE served RENAME TO old_served;
    CREATE TABLE apps (name TEXT NOT NULL PRIMARY KEY, doc BLOB NOT NULL);
    CREATE TABLE revisions (name TEXT NOT NULL PRIMARY KEY, app TEXT NOT NULL, doc BLOB NOT NULL);
    CREATE TABLE replicas (name TEXT NOT NULL PRIMARY KEY, app TEXT NOT NULL, doc BLOB NOT NULL);
    CREATE TABLE served (name TEXT NOT NULL PRIMARY KEY, doc BLOB NOT NULL);
    INSERT INTO apps SELECT * FROM old_apps;
    INSERT INTO revisions SELECT * FROM old_revisions;
    INSERT INTO replicas SELECT * FROM old_replicas;
    INSERT INTO served SELECT * FROM old_served;
    DROP TABLE old_apps;
    DROP TABLE old_revisions;
    DROP TABLE old_replicas;
    DROP TABLE old_served;
    """,
)

LOCK_S = 0.2
# For a transaction, either it is on the disk when it is committed and survives a power cut, or it
# is only in order: a power cut may undo the last ones, but none before them.
SYNCED, NOT_SYNCED = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"

_ASK_THE_DISK = "see whether the disk is full or broken, and who may write there; then start again"
# Advice on errors that are not damage, by SQLite's number.
_REMEDIES = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "close the program that uses it"),
    sqlite3.SQLITE_FULL: "make room on the disk, then start again",
    **dict.fromkeys(
        (
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_PERM,
        ),
        _ASK_THE_DISK,
    ),
}


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file as a database of the present schema. Raises BadSettings and sqlite3.Error."""
    try:
        return _opened(path)
    except sqlite3.OperationalError:
        # A full disk has no room for the log's index, a file of its own. When SQLite has the
        # database to itself it keeps the index in memory, so what is there can be read.
        return _opened(path, is_alone=True)


def unreadable_state(path: Path, error: sqlite3.DatabaseError) -> BadSettings:
    """What to tell the user about a file that the control plane cannot start with."""
    kind = (
        getattr(error, "sqlite_errorcode", 0) & 0xFF
    )  # the rest has more detail than is useful here
    what = _REMEDIES.get(kind, "bring a backup back with turnout restore FILE")
    return BadSettings(f"state: {path} cannot be read ({error}); {what}")


def _opened(path: Path, *, is_alone: bool = False) -> sqlite3.Connection:
    # Nobody else should write to it. If somebody holds a lock, callers are told at once.
    db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_S)
    try:
        if is_alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(SYNCED)
    db.execute(NOT_BY_COMMITS)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise BadSettings(f"state: {path} was written by a newer turnout (schema {version})")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

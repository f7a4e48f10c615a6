"""Copies the whole state to one file, and restores it.

`cp` of the file alone is not enough: what was written last may still be in the log beside it. A
restore needs no further step: each start of a control plane begins a new epoch, so routers accept
its table whatever they had.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from control.store.opening import MIGRATIONS
from router.process.config import BadSettings
from router.process.state import open_private, prepare

DATABASE = "control.db"
_TABLES = {"meta", "apps", "revisions", "replicas"}
# SQLite's own files beside the database. SQLite applies them to whatever file has the database's
# name, even another one.
_BESIDE = ("-wal", "-shm", "-journal")


def backup(state: Path, file: Path) -> None:
    """Copy the state to a file, whether a control plane uses it or not. Raises BadSettings."""
    source = state / DATABASE
    if not source.is_file():
        raise BadSettings(f"there is no state in {state}; give its --state")
    if file.exists() and file.samefile(source):
        raise BadSettings(f"{file} is the state itself; name another file")
    if not os.access(file.parent, os.W_OK):
        raise BadSettings(f"{file.parent} cannot be written; name a file in another directory")
    beside = file.with_name(file.name + ".new")
    _copy(source, beside)
    for end in _BESIDE:
        file.with_name(file.name + end).unlink(missing_ok=True)
    beside.replace(file)
    _sync(file.parent)


def restore(state: Path, file: Path) -> Path | None:
    """Replace the state by a copy; returns where the old one is. Raises BadSettings.

    A crash at any moment leaves the old state or the new one.
    """
    if not file.is_file():
        raise BadSettings(f"there is no file {file}; make one with: turnout backup FILE")
    prepare(state)
    target = state / DATABASE
    with _locked(state):
        new = target.with_name(f"{DATABASE}.restoring")
        _copy(file, new)
        _give(state, new, target.with_name(f"{DATABASE}.lock"))
        replaced = _set_aside(target)
        new.replace(target)
        _sync(state)
    return replaced


def _give(state: Path, *files: Path) -> None:
    """Give the files to the state directory's owner: root may restore for another user."""
    owner = state.stat()
    for file in files:
        if file.stat().st_uid != owner.st_uid:
            os.chown(file, owner.st_uid, owner.st_gid)


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    with open_private(state / f"{DATABASE}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadSettings(
                f"a control plane runs on {state}; stop it before you restore"
            ) from None
        yield


def _copy(source: Path, target: Path) -> None:
    """A complete, checked, durable copy that only its owner can read. Raises BadSettings."""
    target.unlink(missing_ok=True)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as old,
            closing(sqlite3.connect(target, isolation_level=None)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")  # keeps everything in one file
            _check(new, source)
        with target.open("rb") as copy:
            os.fsync(copy.fileno())
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise BadSettings(f"{source} cannot be copied to {target} ({error})") from None
    except BadSettings:
        target.unlink(missing_ok=True)
        raise


def _check(db: sqlite3.Connection, source: Path) -> None:
    """Raise BadSettings unless it is a whole state that this turnout can read."""
    (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise BadSettings(f"{source} is damaged ({verdict}); use an older backup")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if not tables >= _TABLES:
        raise BadSettings(f"{source} is not a state of turnout")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise BadSettings(f"{source} was written by a newer turnout (schema {version})")


def _set_aside(target: Path) -> Path | None:
    """Give the present state, complete, a second name; None when there is no state yet."""
    replaced = target.with_name(f"{DATABASE}.replaced-{time.time_ns()}")
    is_there = target.exists()
    if is_there:
        _gather(target)
        replaced.hardlink_to(target)
    for end in _BESIDE:  # even without a database, which somebody may have deleted
        beside = target.with_name(target.name + end)
        if beside.exists():
            beside.rename(replaced.with_name(replaced.name + end))
    _sync(target.parent)
    return replaced if is_there else None


def _gather(target: Path) -> None:
    """Move all of a state into its one file; a damaged state is kept as it is."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(target, isolation_level=None)) as db,
    ):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode = DELETE")


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

"""Views as rows: only what differs is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from control.journal import Record
from control.resources import App, AppView, to_doc


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


def write_view(db: sqlite3.Connection, old: AppView, write: Write) -> None:
    """Write what differs from `old`, which is what is on disk."""
    new = write.new
    _write_app(db, write.name, old.app, new.app)
    _write_many(db, "revisions", write.name, old.revisions, new.revisions)
    _write_many(db, "replicas", write.name, old.replicas, new.replicas)
    if write.record is not None:
        write_record(db, write.record)


def write_record(db: sqlite3.Connection, record: Record) -> None:
    doc = orjson.dumps({"changes": record.changes, "state": record.state})
    values = (record.at, record.app, record.who, record.note, doc)
    db.execute("INSERT INTO journal (at, app, who, note, doc) VALUES (?, ?, ?, ?, ?)", values)


def put_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


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

"""Turns views into rows: only what differs is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from control.history.journal import Record
from control.model.kinds import AppName
from control.model.resources import App, AppView, to_doc

Row = tuple[str, tuple[Any, ...]]  # a statement with its values
Rows = tuple[Row, ...]
N = TypeVar("N", bound=str)


@dataclass(frozen=True, slots=True)
class Write:
    """A view to replace, the new one, and its journal record; both are written or neither."""

    name: AppName
    old: AppView
    new: AppView
    record: Record | None = None
    rows: Rows | None = None  # the rows, if they were made beforehand

    @property
    def is_void(self) -> bool:
        old, new = self.old, self.new
        same = old.app == new.app and old.revisions == new.revisions
        return same and old.replicas == new.replicas


def write_view(db: sqlite3.Connection, write: Write, on_disk: AppView | None) -> None:
    """Write what differs from `on_disk`, which may lag behind the view that is replaced."""
    is_made = write.rows is not None and on_disk is None
    for statement, values in (
        (write.rows or ()) if is_made else rows_of(on_disk or write.old, write)
    ):
        db.execute(statement, values)


def put_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def rows_of(old: AppView, write: Write) -> Rows:
    """The rows that turn `old` into a write's new view: most of the work of writing."""
    name, new = write.name, write.new
    rows = [
        *_app(name, old.app, new.app),
        *_many("revisions", name, old.revisions, new.revisions),
        *_many("replicas", name, old.replicas, new.replicas),
    ]
    if write.record is not None:
        rows.append(row_of(write.record))
    return tuple(rows)


def row_of(record: Record) -> Row:
    """The row that adds a record to the journal."""
    doc = orjson.dumps({"changes": record.changes, "state": record.state, "is_own": record.is_own})
    values = (record.at, record.app, record.who, record.note, doc)
    return "INSERT INTO journal (at, app, who, note, doc) VALUES (?, ?, ?, ?, ?)", values


def _app(name: AppName, old: App | None, new: App | None) -> Iterator[Row]:
    if new is None and old is not None:
        yield "DELETE FROM apps WHERE name = ?", (name,)
    elif new is not None and new != old:
        put = "INSERT INTO apps VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc"
        yield put, (name, orjson.dumps(to_doc(new)))


def _many(table: str, app: AppName, old: Mapping[N, Any], new: Mapping[N, Any]) -> Iterator[Row]:
    for name in old:
        if name not in new:
            yield f"DELETE FROM {table} WHERE name = ?", (name,)  # noqa: S608 - our own names
    # Updated in place: replacing a row would delete it and put it at the end of the table.
    put = (
        f"INSERT INTO {table} VALUES (?, ?, ?)"  # noqa: S608
        " ON CONFLICT DO UPDATE SET app = excluded.app, doc = excluded.doc"
    )
    for name, resource in new.items():
        if old.get(name) is not resource:
            yield put, (name, app, orjson.dumps(to_doc(resource)))

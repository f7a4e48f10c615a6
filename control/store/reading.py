"""Reads the records of all apps at the start, and those of the journal.

An unreadable record affects its own app only: the app is left out, with the reason and what is
known of its replicas. With a damaged file, apps are served as they last were.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter

from control.history.journal import Record
from control.model.errors import StoreUnavailable
from control.model.kinds import AppName, ReplicaName, RevisionName
from control.model.records import reason
from control.model.resources import (
    App,
    AppView,
    Replica,
    Revision,
    app_from,
    replica_from,
    revision_from,
)
from control.model.template import Template

log = logging.getLogger("turnout.control")

_RECORD = TypeAdapter(Record).validate_python

R = TypeVar("R", App, Revision, Replica)


@dataclass(slots=True)
class Unreadable:
    """An app with an unreadable record: which and why, and the replicas that can be read."""

    why: str
    replicas: Mapping[ReplicaName, Replica] = field(default_factory=dict)
    resource_group: str | None = None  # the app's group, if any readable record tells
    environment: str | None = None


def read_views(
    db: sqlite3.Connection,
) -> tuple[dict[AppName, AppView], dict[AppName, Unreadable], str]:
    """The views of all apps, the apps without one, and how the file is damaged, if it is.

    Raises sqlite3.Error when not even what was last served can be read.
    """
    wrong: dict[AppName, str] = {}
    views: dict[AppName, AppView] = {}
    try:
        _read(db, views, wrong)
        damage = ""
    except sqlite3.DatabaseError as error:
        # Unknown replicas would be started a second time, so nothing is touched.
        damage = damaged(error)
        served = [name for (name,) in db.execute("SELECT name FROM served")]
        wrong |= dict.fromkeys((*views, *served), damage)
    unreadable: dict[AppName, Unreadable] = {}
    for owner, why in wrong.items():
        unreadable[owner] = unread(db, owner, views.pop(owner, AppView(None)), why)
    return views, unreadable, damage


def unread(db: sqlite3.Connection, name: AppName, view: AppView, why: str) -> Unreadable:
    """What is known of an unusable app; the journal may also tell its resource group."""
    if view.app is not None:
        return Unreadable(why, view.replicas, view.app.resource_group, view.app.environment)
    try:
        row = db.execute(
            "SELECT doc FROM journal WHERE app = ? ORDER BY number DESC LIMIT 1", (name,)
        ).fetchone()
        state = orjson.loads(row[0])["state"]
        group, environment = str(state["resource_group"]), str(state["environment"])
    except (sqlite3.Error, ValueError, TypeError, KeyError):
        return Unreadable(why, view.replicas)
    return Unreadable(why, view.replicas, group, environment)


def damaged(error: sqlite3.Error) -> str:
    """A sentence about a file that SQLite cannot read."""
    return f"it is damaged ({error}); bring a backup back: turnout restore FILE"


def record_from(
    number: int, at: float, app: AppName, who: str, note: str, doc: bytes
) -> Record | None:
    """A row of the journal; if it cannot be read, it is logged and None."""
    try:
        beside = {"app": app, "who": who, "note": note, "number": number, "at": at}
        return _RECORD({**orjson.loads(doc), **beside})
    except (ValueError, TypeError) as error:
        log.error("event=record_unreadable number=%d app=%s reason=%r", number, app, reason(error))
        return None


def _read(db: sqlite3.Connection, views: dict[AppName, AppView], wrong: dict[AppName, str]) -> None:
    as_template = _Templates().of
    make_app = partial(app_from, as_template=as_template)
    make_revision = partial(revision_from, as_template=as_template)
    revisions: dict[AppName, dict[RevisionName, Revision]] = {}
    replicas: dict[AppName, dict[ReplicaName, Replica]] = {}

    def of(name: AppName, app: App | None) -> AppView:
        """The app's view, to which its records are added."""
        return AppView(app, revisions.setdefault(name, {}), replicas.setdefault(name, {}))

    for name, doc in db.execute("SELECT name, doc FROM apps"):
        views[name] = of(name, _decoded(make_app, doc, name, f"app {name}", name, wrong))
    for name, owner, doc in db.execute("SELECT name, app, doc FROM revisions"):
        revision = _decoded(make_revision, doc, name, f"revision {name}", owner, wrong)
        if owner not in views:
            wrong.setdefault(owner, f"revision {name} has no app")
        elif revision is not None:
            revisions[owner][name] = revision
    for name, owner, doc in db.execute("SELECT name, app, doc FROM replicas"):
        replica = _decoded(replica_from, doc, name, f"replica {name}", owner, wrong)
        if replica is not None:
            views.setdefault(owner, of(owner, None))
            replicas[owner][name] = replica


class _Templates:
    """Shares equal templates, such as an app's and its latest revision's.

    Checking a template takes longer than everything else that is done for a record.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Template] = {}

    def of(self, doc: Any) -> Template:
        """The template of a document. Raises ValueError."""
        text = orjson.dumps(doc)
        if text not in self._known:
            self._known[text] = Template.model_validate(doc)
        return self._known[text]


def _is_of(resource: Revision | Replica, app: AppName) -> bool:
    """Whether a record belongs to the app it is stored with, as its name must begin with it."""
    return resource.app == app and resource.name.partition("--")[0] == app


def _decoded(
    make: Callable[[bytes], R],
    doc: bytes,
    name: AppName,
    what: str,
    app: AppName,
    wrong: dict[AppName, str],
) -> R | None:
    """A record as a resource; None, with the reason added to `wrong`, if it is not valid."""
    try:
        found = make(doc)
        if found.name != name or (not isinstance(found, App) and not _is_of(found, app)):
            raise ValueError("it is the record of another name")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        wrong.setdefault(app, f"the record of {what} cannot be read ({reason(error)})")
        return None
    return found


def read_journal(db: sqlite3.Connection, app: AppName, before: int, limit: int) -> list[Record]:
    """Records below a number, newest first, without unreadable ones."""
    found: list[Record] = []
    is_more = True
    while is_more and len(found) < limit:
        rows = _journal_rows(db, app, before, limit - len(found))
        is_more = len(rows) == limit - len(found)
        before = rows[-1][0] if rows else before
        found += [record for row in rows if (record := record_from(*row)) is not None]
    return found


def _journal_rows(db: sqlite3.Connection, app: AppName, before: int, limit: int) -> list[Any]:
    try:
        return db.execute(
            "SELECT number, at, app, who, note, doc FROM journal"
            " WHERE number < ? AND (? = '' OR app = ?) ORDER BY number DESC LIMIT ?",
            (before, app, app, limit),
        ).fetchall()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the journal cannot be read ({error})") from error

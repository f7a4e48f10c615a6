"""What routers last got of each app, for apps that cannot be read or compiled any more."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping

import orjson

from control.model.kinds import AppName

log = logging.getLogger("turnout.control")


def read_served(db: sqlite3.Connection) -> dict[str, bytes]:
    """Everything that is kept, by app."""
    return dict(db.execute("SELECT name, doc FROM served").fetchall())


def write_served(db: sqlite3.Connection, bodies: Mapping[str, bytes | None]) -> None:
    """Keep some apps in the transaction that the caller has begun; None deletes."""
    put = [(name, body) for name, body in bodies.items() if body is not None]
    gone = [(name,) for name, body in bodies.items() if body is None]
    db.executemany(
        "INSERT INTO served VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc", put
    )
    db.executemany("DELETE FROM served WHERE name = ?", gone)


def hosts_served(db: sqlite3.Connection, name: AppName) -> list[str]:
    """The custom domains in what is kept of an app; empty if that is unreadable."""
    row = db.execute("SELECT doc FROM served WHERE name = ?", (name,)).fetchone()
    if row is None:
        return []
    try:
        return [str(host) for host in orjson.loads(row[0])["hosts"]]
    except (ValueError, TypeError, KeyError) as error:
        log.error("event=served_unreadable app=%s reason=%r", name, str(error))
        return []

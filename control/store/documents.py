"""Documents that the state keeps beside apps, such as resource groups: JSON by kind and key."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import orjson

log = logging.getLogger("turnout.control")

D = TypeVar("D")
Change = tuple[str, str, dict[str, Any] | None]  # (kind, key, document); None deletes


def decoded(
    kind: str, rows: Iterable[tuple[str, bytes]], make: Callable[[dict[str, Any]], D]
) -> Iterator[tuple[str, D]]:
    """The readable documents by key; unreadable ones are logged."""
    for key, doc in rows:
        try:
            yield key, make(orjson.loads(doc))
        except (ValueError, TypeError) as error:
            log.error("event=unreadable kind=%s key=%s reason=%r", kind, key, str(error))


def write_documents(db: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write and delete documents in the transaction that the caller has begun."""
    for kind, key, doc in changes:
        if doc is None:
            db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
            continue
        db.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key, orjson.dumps(doc))
        )

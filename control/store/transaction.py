"""One transaction on the store's file."""

from __future__ import annotations

import sqlite3
from typing import Any

from control.model.errors import StoreUnavailable
from control.store.opening import NOT_SYNCED, SYNCED


class Transaction:
    """BEGIN IMMEDIATE … COMMIT; a failure rolls back and becomes StoreUnavailable.

    Without `is_synced` it does not wait for the disk: it survives a kill at once, and a power cut
    once a later transaction that is synced has been committed.
    """

    def __init__(self, db: sqlite3.Connection, *, is_synced: bool) -> None:
        self._db = db
        self._is_synced = is_synced

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._db.execute(SYNCED if self._is_synced else NOT_SYNCED)
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise unavailable(error) from error
        return self._db

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failure:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise unavailable(failure) from failure
        if isinstance(error, sqlite3.Error):
            raise unavailable(error) from error


def unavailable(error: sqlite3.Error) -> StoreUnavailable:
    """The error for a write that failed."""
    return StoreUnavailable(f"the state cannot be written ({error}); nothing was changed")

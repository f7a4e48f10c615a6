"""Moves SQLite's write-ahead log into the database file while no request waits for it.

SQLite itself would do that in the commit that makes the log too long, and wait for a disk that may
be busy: the loop stood still for 130 ms then.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

LONG_BYTES = (
    4 << 20
)  # SQLite's default; the log keeps its size and is then written again from its start
_LONGEST_PAGES = 20_000  # at this length SQLite moves it within a commit after all

NOT_BY_COMMITS = f"PRAGMA wal_autocheckpoint = {_LONGEST_PAGES}"


def is_long(path: Path) -> bool:
    """Whether the log is long enough to be moved."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size >= LONG_BYTES
    except OSError:
        return False


def move(path: Path) -> None:
    """Move what can be moved while others read and write. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, timeout=0)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")

"""SQLite's write-ahead log, moved into the database file where no request waits for it.

SQLite would do that within whichever commit makes the log long, and wait for a disk that may be
busy: the loop stood still for 130 ms then.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

LONG_BYTES = (
    4 << 20
)  # as SQLite has it; a log stays as long as it was and is written from its start
_LONGEST_PAGES = 20_000  # then SQLite does it all the same

NOT_BY_COMMITS = f"PRAGMA wal_autocheckpoint = {_LONGEST_PAGES}"


def is_long(path: Path) -> bool:
    """Whether the log of a database is worth moving."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size >= LONG_BYTES
    except OSError:
        return False


def move(path: Path) -> None:
    """Move what can be moved while others read and write. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, timeout=0)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")

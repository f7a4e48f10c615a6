"""Which records of the journal may go: by number for each app and in all, and by age.

Each turn looks at a bounded number of records and the next one continues behind them, so that a
long journal never holds up the loop.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_DAY_S = 86400.0
_ALWAYS = 10  # newest records of a living app: a rollback needs the last changes, however old


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept; the reasons are in `settings.py`."""

    of_app: int
    in_all: int
    days: float
    at_once: int = 500  # records per turn


def victims(
    db: sqlite3.Connection, keeps: Retention, now: float, after: int
) -> tuple[list[int], int]:
    """The numbers of records behind `after` that may go, and where to continue."""
    rows = db.execute(
        # A time that is not a number counts as the oldest.
        "SELECT number, app, CAST(at AS REAL) FROM journal"
        " WHERE number > ? ORDER BY number LIMIT ?",
        (after, keeps.at_once),
    ).fetchall()
    (newest,) = db.execute("SELECT coalesce(max(number), 0) FROM journal").fetchone()
    oldest_at, first = now - keeps.days * _DAY_S, newest - keeps.in_all + 1
    bounds: dict[str, tuple[int, int]] = {}
    gone = []
    for number, app, at in rows:
        if app not in bounds:
            bounds[app] = _bounds(db, app, keeps)
        surplus_below, kept_from = bounds[app]
        is_due = at < oldest_at or number < first
        if number < surplus_below or (is_due and number < kept_from):
            gone.append(number)
    return gone, rows[-1][0] if len(rows) == keeps.at_once else 0


def _bounds(db: sqlite3.Connection, app: str, keeps: Retention) -> tuple[int, int]:
    """Below which number an app's records are too many, and from which they always stay."""
    lives = db.execute("SELECT 1 FROM apps WHERE name = ?", (app,)).fetchone() is not None
    kept_from = _nth_newest(db, app, _ALWAYS) if lives else 1 << 62
    return _nth_newest(db, app, max(keeps.of_app, 1)), kept_from


def _nth_newest(db: sqlite3.Connection, app: str, n: int) -> int:
    row = db.execute(
        "SELECT number FROM journal WHERE app = ? ORDER BY number DESC LIMIT 1 OFFSET ?",
        (app, n - 1),
    ).fetchone()
    return int(row[0]) if row is not None else 0

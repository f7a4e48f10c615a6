"""Keeps what must survive a restart (apps, revisions, replicas) in one SQLite file."""

from control.store.sqlite import Store
from control.store.writing import Write, rows_of

__all__ = ["Store", "Write", "rows_of"]

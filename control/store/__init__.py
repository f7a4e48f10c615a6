"""What survives: apps, revisions, replicas, in one SQLite file."""

from control.store.sqlite import Store
from control.store.writing import Write

__all__ = ["Store", "Write"]

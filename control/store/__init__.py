"""What survives: apps, revisions, replicas, in one SQLite file."""

from control.store.sqlite import Store, Write

__all__ = ["Store", "Write"]

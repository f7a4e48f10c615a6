"""Chooses the replica: the table in force, the weighted choice, replicas and their counters."""

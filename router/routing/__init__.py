"""Which replica answers: the table in force, the weighted choice, replicas and their counters."""

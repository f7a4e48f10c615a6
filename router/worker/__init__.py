"""A worker: the process that serves requests."""

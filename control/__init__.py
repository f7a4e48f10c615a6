"""The control plane: apps, their revisions, and what should be true of both."""

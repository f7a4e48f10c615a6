"""Makes the world follow: what is to be done, doing it, and what happened to replicas."""

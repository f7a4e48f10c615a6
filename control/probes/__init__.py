"""Asks replicas whether they live and are ready."""

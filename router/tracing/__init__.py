"""Traces: the field that carries them, what a worker notes, and what becomes of that."""

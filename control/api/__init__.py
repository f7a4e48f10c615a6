"""The native API under /v1. No rule lives here: handlers decode, ask for a change, encode."""

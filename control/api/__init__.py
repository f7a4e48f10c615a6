"""The native API under /v1. No rule lives here: handlers decode, call the service, encode."""

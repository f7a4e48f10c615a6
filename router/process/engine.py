"""Where the Docker Engine is, and what to do when it does not answer."""

from __future__ import annotations

import os


def engine_url(given: str) -> str:
    """The setting, else DOCKER_HOST, else the usual socket."""
    return given or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def advice(error: Exception) -> str:
    """What helps against an error of the connection to it."""
    if "ermission" in str(error):
        return "join the group of its socket (sudo usermod -aG docker $USER) and log in again"
    return "start it (sudo systemctl start docker), or name its socket with DOCKER_HOST"

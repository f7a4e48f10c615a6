"""Where the Docker Engine listens, and what to tell the user when it does not answer."""

from __future__ import annotations

import os


def engine_url(given: str) -> str:
    """The Docker Engine's URL: the setting, else DOCKER_HOST, else the default socket."""
    return given or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def advice(error: Exception) -> str:
    """What the user can do about a failed connection to the Docker Engine."""
    if "ermission" in str(error):
        return "join the group of its socket (sudo usermod -aG docker $USER) and log in again"
    return "start it (sudo systemctl start docker), or name its socket with DOCKER_HOST"

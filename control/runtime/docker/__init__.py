"""Replicas as containers of a Docker Engine."""

from control.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]

"""Makes routes from the labels of containers that somebody else runs."""

from router.sources.docker.combined import CombinedSource
from router.sources.docker.source import DockerSource

__all__ = ["CombinedSource", "DockerSource"]

"""Routes from the labels of containers that somebody else runs."""

from router.discovery.combined import CombinedSource
from router.discovery.source import DockerSource

__all__ = ["CombinedSource", "DockerSource"]

"""The network that replicas live in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiodocker


class Network:
    """A network found by its name, which the engine allows several networks to have."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._making = asyncio.Lock()

    async def ensure(self, docker: aiodocker.Docker) -> None:
        """Make the network once: if two share its name, neither can be used by name."""
        async with self._making:
            found = await self._all(docker)
            if not found:
                await docker.networks.create({"Name": self._name})
                found = await self._all(docker)
            for double in found[1:]:  # another control plane made one at the same moment
                with contextlib.suppress(aiodocker.DockerError):
                    await (await docker.networks.get(double["Id"])).delete()

    async def _all(self, docker: aiodocker.Docker) -> list[dict[str, Any]]:
        """All networks of that name, oldest first."""
        listed = await docker.networks.list(filters={"name": [f"^{self._name}$"]})
        exact = [network for network in listed if network["Name"] == self._name]
        return sorted(exact, key=lambda network: (network["Created"], network["Id"]))

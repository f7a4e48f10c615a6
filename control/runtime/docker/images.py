"""Getting an image: from the engine if it has it, else from its registry."""

from __future__ import annotations

from typing import Any

import aiodocker

from control.runtime.base import Launch, StartFailed
from control.schema import Registry

_DOCKER_HUB = "docker.io"


async def ensure(docker: aiodocker.Docker, image: str, launch: Launch) -> None:
    """Pull an image unless it is there. Raises StartFailed."""
    try:
        await docker.images.inspect(image)
        return
    except aiodocker.DockerError as error:
        if error.status != 404:
            raise
    auth = _auth(image, launch)
    try:
        async for line in docker.images.pull(_tagged(image), auth=auth, stream=True):
            if "error" in line:
                raise _failed(image, str(line["error"]), launch)
    except aiodocker.DockerError as error:
        raise _failed(image, error.message, launch) from None


def _tagged(image: str) -> str:
    """Without a tag or digest the engine would pull all of them."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _failed(image: str, why: str, launch: Launch) -> StartFailed:
    reason = "ImagePullBackOff" if launch.replica.restarts else "ErrImagePull"
    return StartFailed(reason, f"image {image} cannot be pulled: {why.rstrip('.')}.")


def _auth(image: str, launch: Launch) -> dict[str, Any] | None:
    registry = _registry(image, launch.registries)
    if registry is None:
        return None
    password = launch.secrets.get(registry.password_secret_ref, "")
    return {"username": registry.username, "password": password, "serveraddress": registry.server}


def _registry(image: str, known: tuple[Registry, ...]) -> Registry | None:
    """Whose credentials an image needs: its first part is a host, else it is Docker Hub's."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    server = first if is_host else _DOCKER_HUB
    return next((r for r in known if r.server.partition("/")[0] == server), None)

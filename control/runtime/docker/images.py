"""Gets images: from the engine if it has them, else from their registry."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import aiodocker

from control.model.resources import Provisioning
from control.model.schema import Registry
from control.runtime.base import Launch, StartFailed
from control.runtime.docker.engine import UNREACHED

log = logging.getLogger("turnout.control")

_DOCKER_HUB = "docker.io"
_TELL_S = 1.0  # between two reports, each of which is a write
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """An image that the engine has."""

    id: str
    reference: str  # how to name it in a create: the tag, for people, unless the tag has moved on


class Choice:
    """Pins the images of each revision: its first replica decides, and the others wait for it.

    A tag may move between two pulls, and then one revision would run two images.
    """

    def __init__(self) -> None:
        self._deciding: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(
        self, docker: aiodocker.Docker, names: Iterable[str], launch: Launch
    ) -> dict[str, Found]:
        """The images for a replica, by name. Raises StartFailed."""
        deciding = self._deciding.setdefault(launch.revision.name, asyncio.Lock())
        async with deciding:
            known = launch.known_images()
            found = {name: await _ensured(docker, name, launch, known) for name in names}
            launch.made_of({name: image.id for name, image in found.items()})
        return found


async def _ensured(
    docker: aiodocker.Docker, image: str, launch: Launch, made_of: Mapping[str, str]
) -> Found:
    """The image that the revision is pinned to; for its first replica, the present one.

    The image is pulled if it is not here. Raises StartFailed.
    """
    known = made_of.get(image)
    here = await id_of(docker, image)
    if known and known != here and await id_of(docker, known):
        return Found(known, known)
    if here is None or (launch.revision.pulls and not made_of):
        try:
            await _pull(docker, image, launch)
        except StartFailed as error:
            if here is None:  # otherwise it may have been built here and be in no registry
                raise
            log.warning("event=not_pulled replica=%s reason=%r", launch.replica.name, str(error))
            launch.progress(f"{str(error).rstrip('.')}; the one that is here is used.")
        here = await id_of(docker, image)
    if known and known != here:
        _check_may_be_another(launch, image, known)
    return Found(here or "", image)


def _check_may_be_another(launch: Launch, image: str, known: str) -> None:
    """Allow another image for a revision that serves; refuse it for one that is to come back.

    The first has to go on with what there is; the second must be what it was. Raises StartFailed.
    """
    revision = launch.revision
    log.warning("event=image_gone replica=%s image=%s id=%s", launch.replica.name, image, known)
    if revision.provisioning is not Provisioning.PROVISIONED:
        raise StartFailed(
            "ImageGone",
            f"the image that {revision.name} was made of is gone, and {image} is another one by "
            f"now; bring it back ({known[:19]}), or make a revision of the one that there is: "
            f"turnout revision copy {revision.app} --from-revision {revision.name}.",
        )


async def ids(docker: aiodocker.Docker, names: Iterable[str]) -> dict[str, str]:
    """The ids of those images that the engine has."""
    found = {name: await id_of(docker, name) for name in names}
    return {name: known for name, known in found.items() if known}


async def id_of(docker: aiodocker.Docker, image: str) -> str | None:
    """The id of an image; None if the engine does not have it."""
    try:
        return str((await docker.images.inspect(image))["Id"])
    except aiodocker.DockerError as error:
        if error.status != 404:
            raise
        return None


async def _pull(docker: aiodocker.Docker, image: str, launch: Launch) -> None:
    auth = _auth(image, launch)
    try:
        progress = Progress(image, launch.progress)
        async for line in docker.images.pull(_tagged(image), auth=auth, stream=True):
            if "error" in line:
                raise _failed(image, str(line["error"]), launch)
            progress.see(line)
        launch.progress("")
    except aiodocker.DockerError as error:
        if error.status == UNREACHED:
            raise
        raise _failed(image, error.message, launch) from None


class Progress:
    """Reports now and then how much of an image has been pulled."""

    def __init__(self, image: str, tell: Callable[[str], None]) -> None:
        self._image = image
        self._tell = tell
        # layer to its bytes here and its bytes in all
        self._layers: dict[str, tuple[int, int]] = {}
        self._told_at = 0.0

    def see(self, line: dict[str, Any]) -> None:
        """Take in one line of the engine's stream."""
        detail = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and detail.get("total"):
            self._layers[line["id"]] = (detail["current"], detail["total"])
        elif line.get("status") == "Download complete" and line.get("id") in self._layers:
            total = self._layers[line["id"]][1]
            self._layers[line["id"]] = (total, total)
        now = time.monotonic()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            self._tell(f"Pulling image {self._image}{self._share()}.")

    def _share(self) -> str:
        here = sum(current for current, _ in self._layers.values()) / _MIB
        total = sum(total for _, total in self._layers.values()) / _MIB
        return f": {here:.1f} of {total:.1f} MiB" if total else ""


def _tagged(image: str) -> str:
    """The image with a tag: without tag or digest the engine would pull every tag."""
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
    """The credentials for an image: those of the host it begins with, or else of Docker Hub."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    server = first if is_host else _DOCKER_HUB
    return next((r for r in known if r.server.partition("/")[0] == server), None)

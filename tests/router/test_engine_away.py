"""A Docker Engine that does not answer is said once, with what to do, and asked less and less."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from router.process.engine import advice
from router.sources.counted import Counts, Key
from router.sources.docker import source
from router.sources.docker.source import DockerSource


class Nobody:
    """What the source asks of a router."""

    def applied(self) -> tuple[str, int]:
        return "", 0

    def departed(self) -> dict[str, int]:
        return {}

    def has_orphans(self) -> bool:
        return False

    def counts(self) -> dict[Key, Counts]:
        return {}

    def failures(self) -> dict[str, tuple[int, int]]:
        return {}


class Refusals(logging.Handler):
    """Counts the warnings, and tells when the source has asked often enough."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def test_an_absent_engine_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_RETRY_S", 0.01)
    monkeypatch.setattr(source, "_LONGEST_RETRY_S", 0.04)
    pauses: list[float] = []
    note = DockerSource._note_away

    def counted(self: DockerSource, error: Exception) -> None:
        note(self, error)
        pauses.append(self._retry_s)

    monkeypatch.setattr(DockerSource, "_note_away", counted)
    refusals = Refusals()
    source.log.addHandler(refusals)
    following = asyncio.create_task(
        follow(DockerSource(f"unix://{tmp_path}/none.sock", "localhost", tmp_path, 15.0, 60.0))
    )
    try:
        async with asyncio.timeout(30):
            while len(pauses) < 6:
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        source.log.removeHandler(refusals)
    (said,) = [line for line in refusals.said if "engine_away" in line]
    assert "DOCKER_HOST" in said
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] == 0.04


async def follow(docker: DockerSource) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        async for _ in docker.follow(Nobody()):
            pass


def test_what_helps_depends_on_what_is_wrong() -> None:
    assert "usermod -aG docker" in advice(PermissionError(13, "Permission denied"))
    assert "systemctl start docker" in advice(FileNotFoundError(2, "No such file"))

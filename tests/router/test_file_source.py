"""A routes file that changes while the router reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from router.contract.snapshot import Snapshot
from router.sources.file import FileSource
from tests.router.test_source import Router

WAIT_S = 10.0


def an_app(name: str) -> str:
    return (
        f'[[app]]\nname = "{name}"\n[[app.revision]]\nname = "{name}--v1"\nweight = 100\n'
        'endpoints = ["127.0.0.1:9"]\n'
    )


async def following(path: Path) -> AsyncIterator[Snapshot | str]:
    async with asyncio.timeout(WAIT_S):
        async for found in FileSource(path, "localhost").follow(Router()):
            yield found


def names(found: Snapshot | str) -> list[str]:
    assert isinstance(found, Snapshot), found
    return [app.name for app in found.apps]


async def test_a_file_that_is_being_written_in_place_takes_no_app_away(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(an_app("blog") + an_app("shop"))
    tables = following(path)
    assert names(await anext(tables)) == ["blog", "shop"]

    news = asyncio.ensure_future(anext(tables))
    with path.open("w") as file:
        for piece in ("\n", an_app("blog"), *["# more to come\n"] * 8, an_app("shop")):
            file.write(piece)
            file.flush()
            await asyncio.sleep(0.05)  # a slow disk, or an editor that writes in pieces
        file.write(an_app("till"))

    assert names(await news) == ["blog", "shop", "till"]


async def test_an_empty_file_is_refused_and_one_moved_there_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(an_app("shop"))
    tables = following(path)
    assert names(await anext(tables)) == ["shop"]

    path.write_text("")
    assert "is empty, which is no way to take all apps away" in str(await anext(tables))

    new = tmp_path / "new.toml"
    new.write_text("# no apps\n")
    new.rename(path)
    assert names(await anext(tables)) == []

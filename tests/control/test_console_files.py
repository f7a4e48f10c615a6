"""The console's files: what is served, how, and that what is vendored is what it says it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from control.console import files
from control.console.vendor import FOLDER, LIBRARIES

STATIC = FOLDER.parent
OURS = [p for p in sorted(STATIC.rglob("*")) if p.is_file() and FOLDER not in p.parents]


async def answers(path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    app = web.Application()
    app.add_routes(files.routes())
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        async with client.get(path, headers={"Accept-Encoding": ""} | headers) as answer:
            return answer.status, answer.headers, await answer.read()


async def test_the_page_is_asked_for_again_and_what_it_loads_is_not() -> None:
    status, headers, page = await answers("/")
    assert status == 200
    assert headers["Cache-Control"] == "no-cache"
    assert (await answers("/", **{"If-None-Match": headers["ETag"]}))[0] == 304
    named = re.findall(rb'(?:href|src)="(/console/[^"]+)"', page)
    assert len(named) > 5
    for path in named:
        status, headers, _ = await answers(path.decode())
        assert status == 200
        assert "immutable" in headers["Cache-Control"]


async def test_every_answer_carries_the_policy() -> None:
    for path in ("/", f"/console/{files.version()}/app.js"):
        _, headers, _ = await answers(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_nothing_but_the_files_of_this_version_is_served() -> None:
    for path in (
        "/console/0000000000000000/app.js",
        f"/console/{files.version()}/../files.py",
        f"/console/{files.version()}/%2e%2e/files.py",
        f"/console/{files.version()}/version",
        f"/console/{files.version()}/vendor/VENDOR.md",
    ):
        assert (await answers(path))[0] == 404, path


async def test_all_of_it_is_150_kb_over_the_wire_at_most() -> None:
    total = 0
    for path in STATIC.rglob("*"):
        if path.suffix in (".js", ".css", ".html", ".svg"):
            name = path.relative_to(STATIC)
            url = "/" if name.name == "index.html" else f"/console/{files.version()}/{name}"
            _, headers, body = await answers(url, **{"Accept-Encoding": "gzip"})
            assert headers["Content-Encoding"] == "gzip"
            total += len(body)
    assert 20_000 < total < 150_000


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(STATIC)))
def test_no_file_asks_anybody_else_or_is_too_long_to_read(path: object) -> None:
    text = path.read_text()  # type: ignore[attr-defined]
    assert len(text.splitlines()) <= 300
    assert not re.findall(r"""(?:src|href|from|import)\s*[=(]?\s*["'`](?:https?:)?//""", text)
    assert "innerHTML" not in text  # names and notes are other people's texts


def test_what_is_vendored_is_what_the_list_says() -> None:
    listed = (FOLDER / "VENDOR.md").read_text()
    for library in LIBRARIES:
        digest = sha256((FOLDER / library.name).read_bytes()).hexdigest()
        row = next(line for line in listed.splitlines() if f"`{library.name}`" in line)
        assert digest in row
        assert f"{library.package} {library.version}" in row
        assert library.licence in row
        assert (FOLDER / f"LICENSE.{library.package}").exists()
    kept = {p.name for p in FOLDER.iterdir()}
    licences = {f"LICENSE.{library.package}" for library in LIBRARIES}
    assert kept == {library.name for library in LIBRARIES} | licences | {"VENDOR.md"}

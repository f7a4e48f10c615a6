"""The console's files over HTTP: small, packed once, and asked for once per version.

The page is asked for each time (its ETag answers 304); what it loads lies under the digest of all
files, so a browser may keep it for ever and never mixes two versions.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent / "static"
_PAGE = "index.html"
_LATER = "vendor/uplot.js"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
PREFIX = "/console/"


@dataclass(frozen=True, slots=True)
class _File:
    kind: str
    plain: bytes
    packed: bytes


@cache
def _files() -> dict[str, _File]:
    found = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            name = str(path.relative_to(_FOLDER))
            found[name] = _File(_TYPES[path.suffix], body, gzip.compress(body, mtime=0))
    digest = sha256()
    for name, file in found.items():
        digest.update(f"{name} {len(file.plain)} ".encode() + file.plain)
    found["version"] = _File("", digest.hexdigest()[:16].encode(), b"")
    version = found["version"].plain
    page = (
        found[_PAGE].plain.replace(b"{preloads}", _preloads(found)).replace(b"{version}", version)
    )
    found[_PAGE] = _File(_TYPES[".html"], page, gzip.compress(page, mtime=0))
    return found


def _preloads(names: Iterable[str]) -> bytes:
    """All modules but the one for charts, side by side: their imports would be found one by one."""
    link = '<link rel="modulepreload" href="/console/{version}/%s">'
    wanted = (name for name in names if name.endswith(".js") and name != _LATER)
    return "\n".join(link % name for name in wanted).encode()


def version() -> str:
    """The digest of all files: a page that was loaded under another one should load anew."""
    return _files()["version"].plain.decode()


def is_open(path: str) -> bool:
    """Whether a path is a file of the console: the same for everybody, so it asks for no token."""
    return path == "/" or path.startswith(PREFIX)


async def page(request: web.Request) -> web.Response:
    """GET /: the page."""
    etag = f'"{version()}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=_HEADERS | headers)
    return _sent(request, _files()[_PAGE], headers)


async def asset(request: web.Request) -> web.Response:
    """GET /console/{version}/{name}: what the page loads."""
    file = _files().get(request.match_info["name"])
    if file is None or not file.kind or request.match_info["version"] != version():
        raise web.HTTPNotFound
    return _sent(request, file, {"Cache-Control": "public, max-age=31536000, immutable"})


def _sent(request: web.Request, file: _File, headers: dict[str, str]) -> web.Response:
    headers = _HEADERS | headers | {"Content-Type": file.kind}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=file.packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=file.plain, headers=headers)


def routes() -> list[web.RouteDef]:
    return [web.get("/", page), web.get(PREFIX + "{version}/{name:.+}", asset)]

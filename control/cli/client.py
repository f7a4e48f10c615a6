"""One call to a control plane, and what a command does when it fails."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.text import Text

from control.settings import ControlSettings
from router import __version__, tokens
from router.config import CONTROL_TABLE, BadSettings, load

# Without a terminal nobody wraps by eye: a pipe gets every name whole.
# Names, notes and messages are others' texts: `[/]` in one is no markup, `:warning:` no emoji.
_plain = partial(Console, highlight=False, markup=False, emoji=False)
console = _plain(width=None if sys.stdout.isatty() else 200)
errors = _plain(stderr=True)
_ERROR = ("error:", "bold red")

DEFAULT_SERVER = "http://127.0.0.1:8081"
_TIMEOUT_S = 30.0
_DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # not tab and newline


def printable(text: str) -> str:
    """A text that cannot move the cursor or recolour the terminal, and can be encoded."""
    return _DRIVING.sub("\ufffd", text)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong and leave."""
    errors.print(Text.assemble(_ERROR, " ", printable(message)), soft_wrap=True)
    raise typer.Exit(code)


class Api:
    """The control plane at `--server` or TURNOUT_SERVER."""

    def __init__(self, server: str = "") -> None:
        self._server = (server or os.environ.get("TURNOUT_SERVER") or DEFAULT_SERVER).rstrip("/")

    def get(self, *path: str) -> Any:
        """GET /v1/PATH."""
        return self.call("GET", path)

    def every(self, *path: str) -> list[Any]:
        """All items of a list, page by page."""
        page = self.get(*path)
        items: list[Any] = page["value"]
        while following := page.get("nextLink"):
            after = parse_qs(urlsplit(following).query)["after"][0]
            page = self.get(*path[:-1], f"{path[-1]}?after={after}")
            items += page["value"]
        return items

    def find(self, *path: str) -> Any | None:
        """GET, and None for what does not exist."""
        return self.call("GET", path, missing_is_none=True)

    def call(
        self, method: str, path: tuple[str, ...], body: Any = None, *, missing_is_none: bool = False
    ) -> Any:
        """One call; leaves with a sentence when it fails."""
        try:
            status, answer = asyncio.run(self._send(method, path, body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._unreachable(error)  # ValueError: an address that is not a URL
        if status == 404 and missing_is_none:
            return None
        if status >= 400:
            self._explain(status, answer)
        return answer

    async def text(self, path: str) -> str:
        """A page that is not of the API; leaves with a sentence when it fails."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=_headers(self._server)) as session,
                session.get(self._server + path) as response,
            ):
                return await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._unreachable(error)

    async def lines(self, *path: str) -> AsyncIterator[str]:
        """The lines of an answer that goes on."""
        timeout = aiohttp.ClientTimeout(total=None, connect=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=_headers(self._server)) as session,
            session.get(self._url(path)) as response,
        ):
            if response.status >= 400:
                self._explain(response.status, await response.json())
            async for raw in response.content:
                yield raw.decode(errors="replace").rstrip("\n")

    def _url(self, path: tuple[str, ...]) -> str:
        return f"{self._server}/v1/" + "/".join(
            quote(part, safe="?=&", errors="replace") for part in path
        )

    async def _send(self, method: str, path: tuple[str, ...], body: Any) -> tuple[int, Any]:
        try:
            data = orjson.dumps(body) if body is not None else None
        except orjson.JSONEncodeError as error:
            fail(f"what was given cannot be sent: {error}", 2)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=_headers(self._server)) as session,
            session.request(
                method, self._url(path), data=data, headers={"Content-Type": "application/json"}
            ) as response,
        ):
            raw = await response.read()
            try:
                return response.status, orjson.loads(raw) if raw else None
            except orjson.JSONDecodeError:
                return response.status, {"error": {"message": raw.decode(errors="replace")}}

    def _unreachable(self, error: Exception) -> NoReturn:
        fail(
            f"no control plane answers at {self._server} ({error or type(error).__name__}); "
            "start one with: turnout up, or name one with --server or TURNOUT_SERVER"
        )

    def _explain(self, status: int, answer: Any) -> NoReturn:
        error = answer.get("error", {}) if isinstance(answer, dict) else {}
        details = error.get("details") or []
        if len(details) > 1:
            errors.print(Text.assemble(_ERROR, " the request was refused:"))
            for detail in details:
                errors.print(f"  - {printable(detail['message'])}")
            raise typer.Exit(1)
        fail(error.get("message") or f"the control plane answered {status}")


def _headers(server: str) -> dict[str, str]:
    """Who asks and why, for the journal, and the token."""
    token = own_token(server)
    headers = {"User-Agent": f"turnout/{__version__}", "X-Turnout-User": printable(_user())}
    if note := os.environ.get("TURNOUT_NOTE"):
        headers["X-Turnout-Note"] = " ".join(printable(note).split())
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def own_token(server: str, state: Path | None = None) -> str:
    """TURNOUT_TOKEN, else one of the token file, else this host's STATE/token; or nothing."""
    if given := os.environ.get("TURNOUT_TOKEN"):
        return given
    settings = settings_here(state)
    try:
        return tokens.to_send(server, settings.token_file, settings.state)
    except BadSettings as error:
        fail(str(error))


def settings_here(state: Path | None) -> ControlSettings:
    """The settings that a control plane started here would have."""
    file = os.environ.get("TURNOUT_CONFIG")
    flags = {"state": state}
    try:
        return load(ControlSettings, flags, file=Path(file) if file else None, table=CONTROL_TABLE)
    except BadSettings as error:
        fail(str(error))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())

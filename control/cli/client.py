"""One call to a control plane, and what a command does when it fails.

A command lives for a moment, so it pays for few imports: the standard library's client, as aiohttp
alone would cost more than everything else a command does, and settings only when they are read.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, quote, urlsplit

import typer
from rich.console import Console
from rich.text import Text

from router import __version__

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from control.settings import ControlSettings

# Without a terminal there is no line length to keep to: a pipe gets every name whole.
# emoji.
_plain = partial(Console, highlight=False, markup=False, emoji=False)
console = _plain(width=None if sys.stdout.isatty() else 200)
errors = _plain(stderr=True)
_ERROR = ("error:", "bold red")

INTERRUPTED = 130  # a shell's exit code for a command ended by Ctrl-C
DEFAULT_SERVER = "http://127.0.0.1:8081"
_TIMEOUT_S = 30.0
# control characters except tab and newline, and half surrogates
_DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """The text without what could move the cursor, recolour the terminal, or not be encoded."""
    return _DRIVING.sub("\ufffd", text)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print what is wrong and exit with `code`."""
    errors.print(Text.assemble(_ERROR, " ", printable(message)), soft_wrap=True)
    raise typer.Exit(code)


def address(server: str) -> str:
    """The URL of `--server`, TURNOUT_SERVER or this host; HOST:PORT is enough."""
    given = (server or os.environ.get("TURNOUT_SERVER") or DEFAULT_SERVER).rstrip("/")
    return given if "://" in given else f"http://{given}"


class Api:
    """The control plane at `--server` or TURNOUT_SERVER."""

    def __init__(self, server: str = "") -> None:
        self.server = address(server)

    def get(self, *path: str) -> Any:
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
        """GET; returns None for what does not exist."""
        return self.call("GET", path, missing_is_none=True)

    def call(
        self, method: str, path: tuple[str, ...], body: Any = None, *, missing_is_none: bool = False
    ) -> Any:
        """Make one call; exits with a sentence when it fails."""
        try:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False) if body is not None else ""
            data = text.encode() or None
        except ValueError as error:  # half a character of a broken encoding
            fail(f"what was given cannot be sent: {error}", 2)
        try:
            status, raw = self._read(method, _v1(path), data)
        except KeyboardInterrupt:
            _leave_unanswered(method, path)
        answer = _decoded(raw)
        if status == 404 and missing_is_none:
            return None
        if status >= 300:
            self._explain(status, answer)
        return answer

    def url_of(self, host: str) -> str:
        """The URL of an app's host for a browser, with the port if it is known here."""
        return f"http://{host}{_ingress_port(self.server)}/"

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page outside the API."""
        status, raw = self._read("GET", path)
        return status, raw.decode(errors="replace")

    def is_control_plane(self) -> bool:
        """Whether the server manages apps: a router alone only has a table."""
        status, raw = self._read("GET", "/v1/apps?limit=1")
        return status != 404 or _decoded(raw) is not None

    def table(self) -> dict[str, Any]:
        """The routers' table in force, which also holds apps found by container labels."""
        status, raw = self._read("GET", "/table")
        answer = _decoded(raw)
        if status != 200:
            self._explain(status, answer)
        found: dict[str, Any] = answer
        return found

    def lines(self, *path: str) -> Iterator[str]:
        """Yield a log's lines until its writer has ended; none if it already has."""
        try:
            with self._open("GET", _v1(path), None, None) as response:
                if response.status == 404 and self.find(*path[:-1]) is None:
                    return
                if response.status >= 300:
                    self._explain(response.status, _decoded(response.read()))
                while line := response.readline():
                    yield line.decode(errors="replace").rstrip("\n")
        except (OSError, ValueError) as error:
            self._unreachable(error)

    def is_ready(self) -> bool:
        """Whether requests are served; exits with a sentence if the address is not valid."""
        try:
            with self._open("GET", "/readyz", None, _TIMEOUT_S) as response:
                return response.status == 200
        except OSError:
            return False
        except ValueError as error:
            self._unreachable(error)

    def _read(self, method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        try:
            with self._open(method, path, data, _TIMEOUT_S) as response:
                return response.status, response.read()
        except (OSError, ValueError) as error:  # ValueError: the address is not a URL
            self._unreachable(error)

    @contextmanager
    def _open(
        self, method: str, path: str, data: bytes | None, timeout_s: float | None
    ) -> Iterator[HTTPResponse]:
        """The answer, to be read by the caller.

        Raises OSError, and ValueError for an invalid URL.
        """
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        url = urlsplit(self.server)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("write http://HOST:PORT, https://HOST or HOST:PORT")
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        connection = kind(url.hostname, url.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, url.path + path, data, _headers(self.server))
            connection.sock.settimeout(timeout_s)
            with connection.getresponse() as response:
                yield response
        except HTTPException as error:
            raise OSError(f"it does not speak HTTP: {error!r}") from None
        finally:
            connection.close()

    def _unreachable(self, error: Exception) -> NoReturn:
        if type(error).__name__.startswith("SSL"):  # naming the class would cost an import
            plain = self.server.replace("https://", "http://", 1)
            fail(
                f"{self.server} does not answer over TLS ({error}); "
                f"an admin port speaks plain HTTP: --server {plain}"
            )
        fail(
            f"no control plane answers at {self.server} ({error or type(error).__name__}); "
            "start one with: turnout up, or name one with --server URL or TURNOUT_SERVER"
        )

    def _explain(self, status: int, answer: Any) -> NoReturn:
        error = answer.get("error", {}) if isinstance(answer, dict) else {}
        if status == 401:
            fail(_who(self.server))
        details = error.get("details") or []
        if len(details) > 1:
            errors.print(Text.assemble(_ERROR, " the request was refused:"))
            for detail in details:
                errors.print(f"  - {printable(detail['message'])}", soft_wrap=True)
            raise typer.Exit(1)
        fail(error.get("message") or self._stranger(status))

    def _stranger(self, status: int) -> str:
        """A sentence for an answer that is not a control plane's: another program sent it."""
        return (
            f"{self.server} answered {status}, as no control plane does; give --server the address"
            " of an admin port (8081 unless set otherwise), not the one that apps are reached at;"
            " a router alone has no apps to change"
        )


def _leave_unanswered(method: str, path: tuple[str, ...]) -> NoReturn:
    """Exit after Ctrl-C during a call: whether the change was made is not known here."""
    if method != "GET" and "dryRun=true" not in path[-1]:
        app = path[1].partition("?")[0] if path[0] == "apps" else ""
        lines = ["interrupted before the answer came: the change may have been made, and goes on"]
        lines.append(f"  what was changed: turnout journal {app}".rstrip())
        if app:
            lines.append(f"  give it up:       turnout deploy {app} --cancel")
        errors.print(printable("\n".join(lines)), soft_wrap=True)
    raise typer.Exit(INTERRUPTED)


def _v1(path: tuple[str, ...]) -> str:
    return "/v1/" + "/".join(quote(part, safe="?=&", errors="replace") for part in path)


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _headers(server: str) -> dict[str, str]:
    """The caller and the reason for the journal, and the token."""
    token, _ = _token(server, None)
    headers = {"User-Agent": f"turnout/{__version__}", "X-Turnout-User": printable(_user())}
    if note := os.environ.get("TURNOUT_NOTE"):
        headers["X-Turnout-Note"] = " ".join(printable(note).split())
    if token:
        headers["Authorization"] = f"Bearer {token}"
    headers |= {"Content-Type": "application/json", "Connection": "close"}
    # http.client encodes as Latin-1; this way, UTF-8 bytes are sent.
    return {name: value.encode().decode("latin-1") for name, value in headers.items()}


def own_token(server: str, state: Path | None = None) -> str:
    """The token: TURNOUT_TOKEN, else the token file's, else this host's STATE/token, else ""."""
    return _token(server, state)[0]


def _token(server: str, state: Path | None) -> tuple[str, str]:
    """The token for a server, and where it was found or looked for."""
    if given := os.environ.get("TURNOUT_TOKEN"):
        return given.strip(), "--token or TURNOUT_TOKEN"
    from router.process import tokens
    from router.process.config import BadSettings

    settings = settings_here(state)
    try:
        found = tokens.to_send(server, settings.token_file, settings.state)
    except BadSettings as error:
        fail(str(error))
    return found, settings.token_file or str(tokens.path_in(settings.state))


def _who(server: str) -> str:
    token, place = _token(server, None)
    if token:
        return (
            f"{server} does not know the token of {place}; give its own with --token TOKEN or"
            " TURNOUT_TOKEN, or the server's state directory with TURNOUT_STATE=DIR"
        )
    return (
        f"{server} asks for a token, and none was sent: {place} has none for it; set"
        " TURNOUT_TOKEN (or --token), or TURNOUT_STATE=DIR to the state directory of a server"
        " on this host"
    )


def _ingress_port(server: str) -> str:
    """`:PORT` of the router that `turnout up` runs beside a server on this host, else ""."""
    known = _addresses(settings_here(None).state)
    is_its = known.get("admin") == urlsplit(server).netloc
    return f":{known.get('ingress', '').rpartition(':')[2]}" if is_its else ""


def is_ours(state: Path, ingress: str) -> bool:
    """Whether the last `turnout up` on a state directory listened at `ingress`."""
    return _addresses(state).get("ingress") == ingress


def _addresses(state: Path) -> dict[str, str]:
    """The addresses that the last `turnout up` wrote down; empty if there are none."""
    try:
        known = json.loads((state / "up.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def settings_here(state: Path | None) -> ControlSettings:
    """The settings that a control plane started here would have."""
    from control.settings import ControlSettings
    from router.process.config import CONTROL_TABLE, BadSettings, load

    file = os.environ.get("TURNOUT_CONFIG")
    flags = {"state": state}
    try:
        return load(ControlSettings, flags, file=Path(file) if file else None, table=CONTROL_TABLE)
    except BadSettings as error:
        fail(str(error))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may have no name
        return str(os.getuid())

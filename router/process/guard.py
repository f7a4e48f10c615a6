"""Who gets through to an admin port: a middleware of aiohttp, for router and control plane."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from router.process import door
from router.process.admin_server import WAITER, Handler
from router.process.config import BadSettings, split_address
from router.process.tokens import Token, Tokens

if TYPE_CHECKING:
    pass

_OPEN_PATHS = ("/healthz", "/readyz", "/metrics")
_SLASHES = re.compile("/+")  # az doubles some
_BODY_S = 30.0
_QUOTED = 80  # of what a client sent, in a refusal
_UNKNOWN = (
    "The token that was sent is not one of this server's. It knows those of its --token-file, or"
    " the one in the file token of its state directory; one that was replaced counts no more."
)
_WHO = (
    "No token was sent. Send one (Authorization: Bearer TOKEN). Without a --token-file it is the"
    " one in the file token of the server's state directory; the turnout command finds it there"
    " (TURNOUT_STATE names the directory), or takes --token or TURNOUT_TOKEN."
)
_TOO_LITTLE = {
    "read": "The token %s may only read; this needs the role write.",
    "router": "The token %s is a router's, for POST /v1/sync only; this needs read or write.",
}
_OTHER_HOST = (
    "The request is for the host %s, which is not this one. If it is meant to be, add the name to"
    " the setting admin_hosts (TURNOUT_ADMIN_HOSTS)."
)
_PACKED = "The body has a Content-Encoding; send it as it is."
_NOT_JSON = "The body is %s; send it as Content-Type: application/json."


class Guarded(Protocol):
    """The settings of an admin port."""

    @property
    def state(self) -> Path:
        """Where its token is, without a file of them."""

    @property
    def token_file(self) -> str:
        """The file of its tokens, or nothing."""

    @property
    def admin(self) -> str:
        """Its address."""

    @property
    def admin_hosts(self) -> tuple[str, ...]:
        """Other names it is reached by."""

    @property
    def protect_metrics(self) -> bool:
        """Whether /metrics and /readyz ask for a token too."""


TOKEN = web.RequestKey("token", Token)


def tokens_of(settings: Guarded) -> Tokens:
    """Those of the token file, or the one of the state directory. Raises BadSettings."""
    if not settings.token_file and not door.is_loopback(_listen_host(settings)):
        raise BadSettings(
            f"admin: {settings.admin} can be reached from outside; give a --token-file"
        )
    return Tokens(settings.token_file, settings.state)


def guard(
    settings: Guarded,
    tokens: Tokens,
    open_paths: Collection[str] = (),
    form_paths: Collection[str] = (),
    open_to: Callable[[str, str], bool] = lambda method, path: False,
    session: Callable[[web.Request], Token | None] = lambda request: None,
) -> Middleware:
    """A middleware that lets nobody through who may not.

    `open_paths` need no token either, nor what `open_to` says of a method and path; `form_paths`
    take forms. `session` finds the token of a browser that signed in.
    """
    is_open = {*(("/healthz",) if settings.protect_metrics else _OPEN_PATHS), *open_paths}
    hosts = {door.host_in(host) for host in settings.admin_hosts}
    hosts.add(_listen_host(settings))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _of_a_page(request, hosts)
        if refusal is not None:
            return refusal
        path = _SLASHES.sub("/", request.path)
        if path not in is_open and not open_to(request.method, path):
            is_sent = "Authorization" in request.headers
            sent = request.headers.get("Authorization", "")
            token = tokens.find(sent) if is_sent else session(request)
            if token is None:
                return _without_token(is_sent=is_sent)
            is_trial = request.query.get("dryRun", "").lower() == "true"
            if not door.may(token.role, request.method, path, is_trial=is_trial):
                return _refusal(403, "AuthorizationFailed", _TOO_LITTLE[token.role] % token.name)
            request[TOKEN] = token
        refusal = await _of_its_body(request, may_be_form=path in form_paths)
        return refusal or await handler(request)

    return check


def _without_token(*, is_sent: bool) -> web.Response:
    """The refusal of a request without a token, or with an unknown one (RFC 6750 §3.1)."""
    if is_sent:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return _refusal(401, "InvalidAuthenticationToken", _UNKNOWN, headers)
    return _refusal(401, "AuthenticationFailed", _WHO, {"WWW-Authenticate": "Bearer"})


def waits(request: web.Request) -> None:
    """From here on it only waits for news, for as long as there is room for it."""
    token = request.get(TOKEN)  # none on a unix socket
    request[WAITER] = token.name if token is not None else ""


def _listen_host(settings: Guarded) -> str:
    if settings.admin.startswith("unix:"):
        return "localhost"
    return split_address(settings.admin, "admin")[0].lower()


def _of_a_page(request: web.Request, hosts: Collection[str]) -> web.Response | None:
    """The refusal of what a web page of somebody else has a browser do."""
    fields = request.headers.getall("Host", [])
    here = request.get_extra_info("sockname") or ("",)
    if not door.is_known_host(fields, hosts, str(here[0]).partition("%")[0]):
        named = ", ".join(fields)[:_QUOTED] or "nothing"
        return _refusal(421, "MisdirectedRequest", _OTHER_HOST % named)
    origins = request.headers.getall("Origin", [])
    if door.is_foreign(fields[0], origins, request.headers.getall("Sec-Fetch-Site", [])):
        return _refusal(403, "ForeignOrigin", "Pages of another origin may not use this port.")
    return None


async def _of_its_body(request: web.Request, *, may_be_form: bool) -> web.Response | None:
    """The refusal of a body that is packed, no JSON, too long or not there; else it is here."""
    if not request.body_exists:
        return None
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return _refusal(415, "UnsupportedMediaType", _PACKED)
    try:
        async with asyncio.timeout(_BODY_S):
            has_body = bool(await request.read())
    except TimeoutError:
        return _refusal(408, "RequestTimeout", f"The body did not arrive within {_BODY_S:.0f} s.")
    except web.HTTPRequestEntityTooLarge:
        return _refusal(413, "RequestTooLarge", "The request's body is too large.")
    given = request.headers.get("Content-Type", "")
    if not has_body or may_be_form or door.is_json(given):
        return None
    return _refusal(415, "UnsupportedMediaType", _NOT_JSON % (given[:_QUOTED] or "nothing"))


def _refusal(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"error": {"code": code, "message": message}}
    return web.json_response(error, status=status, headers=headers)

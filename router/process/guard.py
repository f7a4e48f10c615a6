"""The aiohttp middleware that decides which requests reach an admin port's handlers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from router.process import door
from router.process.admin import refusals
from router.process.admin.refusals import (
    QUOTED,
    Guarded,
    Refusal,
    beyond_its_role,
    known_hosts,
    of_a_page,
    without_token,
)
from router.process.admin.web_site import WAITER, Handler
from router.process.tokens import Token, Tokens

_SLASHES = re.compile("/+")  # az doubles some slashes
_BODY_S = 30.0
_MOST_WITHOUT_TOKEN = 16384  # bytes: strangers' bodies are kept until they are whole
_PACKED = "The body has a Content-Encoding; send it as it is."
_LARGE = "Without a token a body has at most %d bytes, and a Content-Length that says how many."
_NOT_JSON = "The body is %s; send it as Content-Type: application/json."


TOKEN = web.RequestKey("token", Token)


def guard(
    settings: Guarded,
    tokens: Tokens,
    open_paths: Collection[str] = (),
    form_paths: Collection[str] = (),
    open_to: Callable[[str, str], bool] = lambda method, path: False,
    session: Callable[[web.Request], Token | None] = lambda request: None,
) -> Middleware:
    """A middleware that refuses every request that is not allowed.

    No token is needed for `open_paths`, nor where `open_to(method, path)` says so; `form_paths`
    accept HTML forms. `session` finds the token of a browser that has signed in.
    """
    is_open = {*refusals.open_paths(settings), *open_paths}
    known = known_hosts(settings)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _of_a_page(request, known)
        if refusal is not None:
            return _answer(refusal)
        path = _SLASHES.sub("/", request.path)
        if path not in is_open and not open_to(request.method, path):
            is_sent = "Authorization" in request.headers
            sent = request.headers.get("Authorization", "")
            token = tokens.find(sent) if is_sent else session(request)
            if token is None:
                return _answer(without_token(is_sent=is_sent))
            is_trial = request.query.get("dryRun", "").lower() == "true"
            refusal = beyond_its_role(token, request.method, path, is_trial=is_trial)
            if refusal is not None:
                return _answer(refusal)
            request[TOKEN] = token
        refusal = await _of_its_body(request, may_be_form=path in form_paths)
        return await handler(request) if refusal is None else _answer(refusal)

    return check


def waits(request: web.Request) -> None:
    """Mark a request as one that only waits for news; the server may end it to make room."""
    token = request.get(TOKEN)  # a unix socket needs no token
    request[WAITER] = token.name if token is not None else ""


def _of_a_page(request: web.Request, known: Collection[str]) -> Refusal | None:
    fields = request.headers
    # A link on any page may lead to the console: its shell is the same for everybody, and a page
    # that opens it as a document cannot read it (Fetch Metadata: only browsers say `document`).
    is_link = request.path == "/" and fields.getall("Sec-Fetch-Dest", []) == ["document"]
    return of_a_page(
        fields.getall("Host", []),
        fields.getall("Origin", []),
        [] if is_link and request.method == "GET" else fields.getall("Sec-Fetch-Site", []),
        known=known,
        sockname=request.get_extra_info("sockname"),
    )


async def _of_its_body(request: web.Request, *, may_be_form: bool) -> Refusal | None:
    """The refusal of a body that is compressed, not JSON, too long or incomplete; None once it is
    read.
    """
    if not request.body_exists:
        return None
    length = request.content_length
    if TOKEN not in request and (length is None or length > _MOST_WITHOUT_TOKEN):
        return Refusal(413, "RequestTooLarge", _LARGE % _MOST_WITHOUT_TOKEN)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Refusal(415, "UnsupportedMediaType", _PACKED)
    try:
        async with asyncio.timeout(_BODY_S):
            has_body = bool(await request.read())
    except TimeoutError:
        return Refusal(408, "RequestTimeout", f"The body did not arrive within {_BODY_S:.0f} s.")
    except web.HTTPRequestEntityTooLarge:
        return Refusal(413, "RequestTooLarge", "The request's body is too large.")
    given = request.headers.get("Content-Type", "")
    if not has_body or may_be_form or door.is_json(given):
        return None
    return Refusal(415, "UnsupportedMediaType", _NOT_JSON % (given[:QUOTED] or "nothing"))


def _answer(refusal: Refusal) -> web.Response:
    return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)

"""Handlers of sessions: a browser signs in with a token or a code, asks who it is, signs out."""

from __future__ import annotations

import time

from aiohttp import web

from control.api.keys import CODES, TOKENS
from control.api.wire.problems import body_of, decode, problem, reply
from control.console import session
from control.model.kinds import Model
from router.process.guard import TOKEN
from router.process.tokens import Token

PATH = "/v1/session"


class SignInBody(Model):
    """A token of the server, or a code of a link."""

    token: str = ""
    code: str = ""


async def sign_in(request: web.Request) -> web.Response:
    """POST /v1/session {"token"} or {"code"}: a cookie, and `proof` to send beside it."""
    body = decode(SignInBody, await body_of(request))
    tokens = request.app[TOKENS]
    if body.code:
        token = request.app[CODES].take(body.code)
        wrong = "This link was used before, or is too old. `turnout console` prints a new one."
    else:
        token = tokens.holder(body.token.strip())
        wrong = "This is not a token of this server. It is in STATE/token, or in its --token-file."
    if token is None or token.role == "router":
        return problem(401, "InvalidAuthenticationToken", wrong)
    begun = session.begin(token, time.time())
    answer = reply({**_who(token), "proof": begun.proof}, 201)
    answer.set_cookie(
        session.COOKIE,
        begun.cookie,
        path="/v1",
        max_age=session.LIFETIME_S,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )
    return answer


async def who_am_i(request: web.Request) -> web.Response:
    """GET /v1/session: in whose name this request came, and what it may."""
    token = request.get(TOKEN)
    return reply(_who(token) if token is not None else {"name": "", "role": "write"})


async def sign_out(_: web.Request) -> web.Response:
    """DELETE /v1/session: the browser forgets its cookie."""
    answer = web.Response(status=204)
    answer.del_cookie(session.COOKIE, path="/v1")
    return answer


async def make_code(request: web.Request) -> web.Response:
    """POST /v1/session/codes: a code that signs a browser in once, in the caller's name."""
    token = request.get(TOKEN)
    if token is None:
        return problem(401, "AuthenticationFailed", "A code is made in the name of a token.")
    return reply({"code": request.app[CODES].make(token)}, 201)


def _who(token: Token) -> dict[str, str]:
    return {"name": token.name, "role": token.role}


def finds(request: web.Request) -> Token | None:
    """The token that a session's cookie and proof stand for."""
    cookie = request.cookies.get(session.COOKIE)
    if not cookie:
        return None
    proof = request.headers.get(session.PROOF) or request.query.get("session", "")
    return session.holder(request.app[TOKENS].known(), cookie, proof, time.time())

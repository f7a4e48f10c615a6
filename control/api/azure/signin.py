"""The four small endpoints by which az signs in to a cloud of its own."""

from __future__ import annotations

from aiohttp import web

from control.api.keys import TOKENS
from control.api.wire.paging import origin_of
from control.api.wire.problems import reply

CLOUD = "turnout"
_LIFE_S = 86400

PATHS = ("/metadata/endpoints", "/adfs/.well-known/openid-configuration", "/adfs/oauth2/token")
"""Open without a token: by them a client that knows one is handed it as its bearer."""

FORMS = PATHS[2:]
"""Whose bodies are forms (RFC 6749 §4.4.2)."""


async def _endpoints(request: web.Request) -> web.Response:
    """GET /metadata/endpoints, asked by `az cloud register`."""
    origin = origin_of(request)
    return reply(
        {
            "name": CLOUD,
            "resourceManager": f"{origin}/",
            # When a path ends in /adfs, az does not ask a public host about the authority.
            "authentication": {"loginEndpoint": f"{origin}/adfs", "audiences": [f"{origin}/"]},
            "graphAudience": f"{origin}/",
            "suffixes": {},
        }
    )


async def _openid(request: web.Request) -> web.Response:
    """GET …/openid-configuration."""
    base = f"{origin_of(request)}/adfs"
    return reply(
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth2/authorize",
            "token_endpoint": f"{base}/oauth2/token",
        }
    )


async def _token(request: web.Request) -> web.Response:
    """POST …/token: a client whose secret is a token of ours gets it back as its bearer token."""
    secret = (await request.post()).get("client_secret")
    if not isinstance(secret, str) or request.app[TOKENS].holder(secret) is None:
        problem = "give a token as the password: turnout azure-env does, or see STATE/token"
        return reply({"error": "invalid_client", "error_description": problem}, 401)
    return reply({"access_token": secret, "token_type": "Bearer", "expires_in": _LIFE_S})


def routes() -> list[web.RouteDef]:
    """The endpoints.

    Doubled slashes are collapsed, as they occur if the registered URL ends in one.
    """
    endpoints, openid, token = (f"/{{slashes:/*}}{path[1:]}" for path in PATHS)
    return [web.get(endpoints, _endpoints), web.get(openid, _openid), web.post(token, _token)]

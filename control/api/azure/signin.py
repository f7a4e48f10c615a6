"""The four small endpoints by which az signs in to a cloud of its own (arm-wire §2)."""

from __future__ import annotations

from aiohttp import web

from control.api.azure.call import origin_of
from control.api.problems import reply

CLOUD = "turnout"
_LIFE_S = 86400

PATHS = ("/metadata/endpoints", "/adfs/.well-known/openid-configuration", "/adfs/oauth2/token")
"""Open without a token: they are how a client gets one."""


async def _endpoints(request: web.Request) -> web.Response:
    """GET /metadata/endpoints, asked by `az cloud register`."""
    origin = origin_of(request)
    return reply(
        {
            "name": CLOUD,
            "resourceManager": f"{origin}/",
            # A path that ends in /adfs keeps az from asking a public host about the authority.
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
    """POST …/token: the client's secret is its token; the guard judges it when it is used."""
    form = await request.post()
    secret = form.get("client_secret")
    if not isinstance(secret, str) or not secret:
        problem = "give a token of the token file as the password; anything when there is none"
        return reply({"error": "invalid_client", "error_description": problem}, 401)
    return reply({"access_token": secret, "token_type": "Bearer", "expires_in": _LIFE_S})


def routes() -> list[web.RouteDef]:
    """Doubled slashes are collapsed: an endpoint registered with one at its end asks so."""
    endpoints, openid, token = (f"/{{slashes:/*}}{path[1:]}" for path in PATHS)
    return [web.get(endpoints, _endpoints), web.get(openid, _openid), web.post(token, _token)]

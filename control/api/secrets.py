"""Handlers of secrets: names for everybody who may read, values only by listSecrets."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, model_validator

from control.api.keys import CHANGES
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of
from control.api.wire.paging import listed
from control.api.wire.problems import body_of, decode, reply
from control.model.kinds import Model
from control.model.resources import AppView
from control.model.schema import Secret


class SecretsBody(Model):
    """Secrets to add or replace."""

    secrets: Annotated[tuple[Secret, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _have_values(self) -> SecretsBody:
        for secret in self.secrets:
            if secret.value is None:
                raise ValueError(f"secret {secret.name} has no value")
        return self


def _names(view: AppView) -> web.Response:
    assert view.app is not None
    return reply({"value": [{"name": s.name} for s in view.app.configuration.secrets]})


async def list_names(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/secrets?limit=&after=: names only."""
    app = request.app[CHANGES].read.app(app_of(request)).app
    assert app is not None
    names = sorted(secret.name for secret in app.configuration.secrets)
    return listed(request, names, str, lambda name: {"name": name})


async def list_values(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/listSecrets: with values, for who may write."""
    app = request.app[CHANGES].read.app(app_of(request)).app
    assert app is not None
    return reply({"value": [s.wire() for s in app.configuration.secrets]})


async def set_secrets(request: web.Request) -> web.Response:
    """PATCH /v1/apps/{app}/secrets: the others stay."""
    body = decode(SecretsBody, await body_of(request))
    values = {secret.name: secret.value or "" for secret in body.secrets}
    name = app_of(request)
    return answer(request.app[CHANGES].set_secrets(caller_of(request), name, values), _names)


async def remove_secret(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/secrets/{secret}."""
    changes, match = request.app[CHANGES], request.match_info
    done = changes.remove_secret(caller_of(request), app_of(request), match["secret"])
    return answer(done, _names)

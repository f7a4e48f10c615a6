"""Azure's own Python SDK, pointed at a control plane."""

from __future__ import annotations

import time
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.appcontainers import ContainerAppsAPIClient

from tests.support.turnout import Turnout

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
S = f"/subscriptions/{SUBSCRIPTION}"


def group_path(group: str) -> str:
    return f"{S}/resourceGroups/{group}"


def app_path(group: str, app: str) -> str:
    return f"{group_path(group)}/providers/Microsoft.App/containerApps/{app}"


def environment_path(group: str, environment: str) -> str:
    return f"{group_path(group)}/providers/Microsoft.App/managedEnvironments/{environment}"


class Credential:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("dev", int(time.time()) + 3600)


class LocalAuth(SansIOHTTPPolicy[Any, Any]):
    """Plain http on loopback: the SDK's own policy would not send a token there."""

    def __init__(self, server: Turnout) -> None:
        self._headers = server.authorization

    def on_request(self, request: Any) -> None:
        request.http_request.headers.update(self._headers)


def sdk(server: Turnout) -> ContainerAppsAPIClient:
    """A client of one control plane; close it."""
    return ContainerAppsAPIClient(
        Credential(), SUBSCRIPTION, base_url=server.server, authentication_policy=LocalAuth(server)
    )


def an_app(environment: str, image: str = "endpoint:127.0.0.1:9", **properties: Any) -> Any:
    """The body of a PUT for an app that needs no process, in an environment of that id."""
    return {
        "location": "local",
        "properties": {
            "environmentId": environment,
            "configuration": {"ingress": {"external": True, "targetPort": 80}},
            "template": {"containers": [{"name": "web", "image": image}]},
        }
        | properties,
    }

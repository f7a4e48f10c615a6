"""A control plane and a router as two processes, so that each can be ended alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.turnout import Turnout, provisioned, template, until


def put(up: Turnout, app: str, suffix: str = "v1", *hosts: str) -> tuple[int, Any]:
    ingress = {"targetPort": 80, "customDomains": [{"name": host} for host in hosts]}
    body = {"configuration": {"ingress": ingress}, "template": template(suffix)}
    return up.call("PUT", f"/v1/apps/{app}", body)


class Plane:
    """A control plane and a router that follows it; the control plane alone is started again."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.control = self._control()
        self.router = Turnout(
            "router",
            listen="127.0.0.1:0",
            admin="127.0.0.1:0",
            control=f"unix:{state}/sync.sock",
            workers=1,
            state=state / "r",
            expose_revision=True,
        ).wait_ready()

    def _control(self) -> Turnout:
        return Turnout(
            "control",
            admin="127.0.0.1:0",
            sync=f"unix:{self.state}/sync.sock",
            state=self.state / "s",
            tick_s=0.2,
        ).wait_ready()

    def restart(self) -> None:
        self.control = self._control()

    def answers(self, app: str) -> str:
        """The revision that answers an app's host, or the status of the edge's own answer."""
        status, headers, _ = self.router.get(f"{app}.localhost")
        return headers.get("X-Turnout-Revision", str(status))

    def deploy(self, app: str, suffix: str = "v1", *hosts: str) -> None:
        """Deploy an app and wait until it serves."""
        status, answer = put(self.control, app, suffix, *hosts)
        assert status < 300, answer
        provisioned(self.control, f"{app}--{suffix}")
        until(lambda: self.answers(app) == f"{app}--{suffix}")

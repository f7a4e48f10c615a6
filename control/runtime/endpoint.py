"""Replicas that somebody else runs: probed and routed to, never started or stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator

from control.model.errors import Invalid
from control.model.resources import Replica
from control.model.targets import Targets, no_name
from control.model.template import Template
from control.runtime.base import IMAGE, Launch, Started, StartFailed, check_is_one_program
from router.contract.check import is_address

_MOST = 300  # replicas of a revision, each of which is probed and told to every router


class EndpointRuntime:
    """Hands each replica one of the addresses in its image."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def check(self, template: Template) -> None:
        """Each address is HOST:PORT, allowed, and named once. Raises Invalid.

        A name is judged when it is connected to: looking it up here would make others wait.
        """
        check_is_one_program(template)
        if len(template.endpoints) > _MOST:
            raise Invalid(
                f"{IMAGE}: {len(template.endpoints)} addresses are too many, a revision has at "
                f"most {_MOST}; put a load balancer in front of the replicas and name that"
            )
        for address in template.endpoints:
            if not is_address(address):
                raise Invalid(f"{IMAGE}: {address!r} is not HOST:PORT")
            host = address.rpartition(":")[0].strip("[]")
            if why := self._targets.refusal(host) or no_name(host):
                raise Invalid(f"{IMAGE}: {why}")
        if not template.endpoints:
            raise Invalid(f"{IMAGE}: endpoint: needs at least one HOST:PORT")
        if len(set(template.endpoints)) != len(template.endpoints):
            raise Invalid(f"{IMAGE}: an endpoint is named twice")

    async def start(self, launch: Launch) -> Started:
        """The first address that no sibling has; its own again after a restart.

        A restart of the revision takes the addresses of its old replicas, the next one to go
        first: there are no others.
        """
        replica, staying = launch.replica, [r for r in launch.siblings if not r.is_leaving]
        taken = {r.address for r in staying if r.generation == replica.generation}
        free = [a for a in launch.revision.template.endpoints if a not in taken]
        if not free:
            raise StartFailed("NoEndpoint", "every endpoint of the revision is in use already.")
        old = [r.address for r in staying if r.generation != replica.generation]
        wanted = next((a for a in (replica.address, *old) if a in free), free[0])
        if why := self._targets.refusal(wanted.rpartition(":")[0].strip("[]")):
            raise StartFailed("EndpointNotAllowed", f"{why}.")  # the setting has changed
        return Started(wanted)

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """Nothing to do: it is not ours."""

    async def survivors(self) -> None:
        """It cannot be known: only probes tell."""
        return

    async def images(self, template: Template) -> dict[str, str]:
        """There are none."""
        return {}

    async def hint(self, replica: Replica) -> str:
        """Nothing that its probes do not say."""
        return ""

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        """None: its output goes elsewhere."""
        return []

    async def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        """None either."""
        return
        yield

    def forget(self, replica: str) -> None:
        """Nothing was kept."""

    async def close(self) -> None:
        """Nothing is watched."""

"""Replicas that somebody else runs: probed and routed to, never started or stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator

from control.model.errors import Invalid
from control.model.resources import Replica
from control.model.targets import Targets, no_name
from control.model.template import Template
from control.runtime.base import IMAGE, Launch, Started, StartFailed, check_is_one_program
from router.contract.check import is_address

_MOST = 300  # per revision: each is probed, and told to every router


class EndpointRuntime:
    """Gives each replica one of the addresses in its image."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def check(self, template: Template) -> None:
        """Check that each address is HOST:PORT, allowed, and named once. Raises Invalid.

        A name is judged when a connection is made: resolving it here would make others wait.
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
        """Take the first address that no sibling has; after a restart, the replica's own again.

        When the revision is restarted, new replicas take the addresses of old ones, beginning with
        the one that is to go first, because there are no other addresses.
        """
        replica, staying = launch.replica, [r for r in launch.siblings if not r.is_leaving]
        taken = {r.address for r in staying if r.generation == replica.generation}
        free = [a for a in launch.revision.template.endpoints if a not in taken]
        if not free:
            raise StartFailed("NoEndpoint", "every endpoint of the revision is in use already.")
        old = [r.address for r in staying if r.generation != replica.generation]
        wanted = next((a for a in (replica.address, *old) if a in free), free[0])
        if why := self._targets.refusal(wanted.rpartition(":")[0].strip("[]")):
            # the setting has changed since the deploy
            raise StartFailed("EndpointNotAllowed", f"{why}.")
        return Started(wanted)

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """Does nothing: the process is not ours."""

    async def survivors(self) -> None:
        """None, which means unknown: only probes can tell."""
        return

    async def images(self, template: Template) -> dict[str, str]:
        """Empty: the images are not known."""
        return {}

    async def hint(self, replica: Replica) -> str:
        """Empty: nothing is known beyond what probes report."""
        return ""

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        """Empty: the output goes elsewhere."""
        return []

    async def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        """Yields nothing: the output goes elsewhere."""
        return
        yield

    def forget(self, replica: str) -> None:
        """Does nothing: nothing was kept."""

    async def close(self) -> None:
        """Does nothing: nothing is watched."""

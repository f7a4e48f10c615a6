"""A runtime that the setting `runtimes` leaves out: it starts nothing and ends what there is.

What an app recorded while the runtime was on must not stop the control plane, and replicas that
still run are adopted, listed and stopped as ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from control.model.errors import Invalid
from control.model.kinds import ReplicaName
from control.model.resources import Replica
from control.model.template import Template
from control.runtime.base import IMAGE, Launch, Runtime, Started, StartFailed, Survivor

_WHY = {"process": "runs commands as turnout's user and "}


class SwitchedOff:
    """Refuses new templates and new replicas; passes everything else to the runtime."""

    def __init__(self, kind: str, inner: Runtime) -> None:
        self._inner = inner
        self._sentence = (
            f"the runtime {kind} {_WHY.get(kind, '')}is not switched on here; list it when you"
            f" start the server: --runtimes docker,endpoint,{kind} (or TURNOUT_RUNTIMES)"
        )

    def check(self, template: Template) -> None:
        """Always raises Invalid."""
        raise Invalid(f"{IMAGE}: {self._sentence}")

    async def start(self, launch: Launch) -> Started:
        """Always raises StartFailed."""
        raise StartFailed("RuntimeNotEnabled", f"{self._sentence}.")

    async def stop(self, replica: Replica, grace_s: float) -> None:
        await self._inner.stop(replica, grace_s)

    async def survivors(self) -> dict[ReplicaName, Survivor] | None:
        return await self._inner.survivors()

    async def images(self, template: Template) -> dict[str, str]:
        """The image ids as the runtime reports them."""
        return await self._inner.images(template)

    async def hint(self, replica: Replica) -> str:
        return await self._inner.hint(replica)

    async def logs(self, replica: ReplicaName, tail: int, container: str = "") -> list[str]:
        return await self._inner.logs(replica, tail, container)

    def follow(self, replica: ReplicaName, tail: int, container: str = "") -> AsyncIterator[str]:
        return self._inner.follow(replica, tail, container)

    def forget(self, replica: ReplicaName) -> None:
        self._inner.forget(replica)

    async def close(self) -> None:
        await self._inner.close()

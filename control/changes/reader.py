"""What callers can look at: apps, revisions, replicas, what these write, and the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from control.history.journal import Record
from control.model.errors import NotFound, no_app, no_revision
from control.model.kinds import EVERY_APP, AppName, ReplicaName, RevisionName, folded
from control.model.resources import AppView, Replica, Revision
from control.runtime import Runtimes
from control.store import Store

_NEWEST = 1 << 62  # above every record's number, and no larger than SQLite's numbers


class Reader:
    """Finds things by their names, in any case of them."""

    def __init__(self, store: Store, runtimes: Runtimes) -> None:
        self._store = store
        self._runtimes = runtimes

    def apps(self) -> list[AppView]:
        """All apps, by name."""
        return [self._store.view(name) for name in self._store.names()]

    def app(self, name: AppName) -> AppView:
        """One app. Raises NotFound."""
        view = self._store.view(folded(name))
        self._store.check_readable(folded(name))
        if view.app is None:
            raise no_app(name)
        return view

    def peek(self, name: AppName) -> AppView:
        """What there is of an app, also when it has been deleted and its replicas still drain."""
        return self._store.view(folded(name))

    def rival(self, app: AppName, host: str) -> AppName:
        """The other app that keeps an app from having a custom domain; empty for none."""
        return AppName(self._store.owners.rival(folded(app), host))

    def revision(self, app: AppName, name: RevisionName) -> tuple[AppView, Revision]:
        """One revision. Raises NotFound."""
        view = self.app(app)
        revision = view.revisions.get(folded(name))
        if revision is None:
            raise no_revision(app, name, view.revisions)
        return view, revision

    def replica(self, app: AppName, revision: RevisionName, name: ReplicaName) -> Replica:
        """One replica. Raises NotFound."""
        view, found = self.revision(app, revision)
        for replica in view.of(found.name):
            if replica.name == folded(name):
                return replica
        raise NotFound(f"revision {revision} has no replica {name}")

    async def logs(self, replica: Replica, tail: int, container: str = "") -> list[str]:
        """The last lines of a container's output; the main one's if none is named."""
        self._check_container(replica, container)
        return await self._runtimes[replica.runtime].logs(replica.name, tail, container)

    def follow(self, replica: Replica, tail: int, container: str = "") -> AsyncIterator[str]:
        """Those, and what comes, until the replica has ended."""
        self._check_container(replica, container)
        return self._runtimes[replica.runtime].follow(replica.name, tail, container)

    def _check_container(self, replica: Replica, container: str) -> None:
        _, revision = self.revision(replica.app, replica.revision)
        template = revision.template
        names = [c.name for c in (*template.containers, *template.init_containers)]
        if container and container not in names:
            known = ", ".join(names)
            raise NotFound(f"revision {revision.name} has no container {container}; it has {known}")

    def journal(self, app: AppName = EVERY_APP, before: int = 0, limit: int = 50) -> list[Record]:
        """What was changed, newest first."""
        return self._store.journal(folded(app), min(before or _NEWEST, _NEWEST), limit)

    def record(self, app: AppName, number: int) -> Record:
        """One record of an app. Raises NotFound."""
        for record in self.journal(app, before=number + 1, limit=1):
            if record.number == number:
                return record
        raise NotFound(f"app {app} has no record {number}; its numbers: turnout journal {app}")

    def records(self, app: AppName) -> Iterator[Record]:
        """All of an app, newest first."""
        before = 0
        while records := self.journal(app, before):
            yield from records
            before = records[-1].number

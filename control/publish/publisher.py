"""The table in force, which routers wait for the next one, and which have applied it.

A table is handed out before any of it is written. This is safe because versions only have to rise
within an epoch, which is one run of the control plane; a router that knows another epoch compares
content hashes instead.

Replicas wait for routers: a replica that left the table is stopped only when no router can use it.
A router counts while it is connected and for its lease afterwards, since a router that is cut off
goes on routing by the table it has. When the lease ends, nothing waits for that router any more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from itertools import islice
from typing import TypeVar

import orjson
from pydantic import TypeAdapter

from control.model.errors import Conflict, ControlError
from control.model.kinds import Count, ReplicaName
from control.model.records import reason
from control.model.resources import AppView
from control.publish.compiler import compile_app
from control.publish.failures import Failures
from control.publish.published import Known, Published
from control.publish.rates import Rates
from control.store import Store
from router.contract.admission import Admission, News
from router.contract.check import check_app
from router.contract.snapshot import App

N = TypeVar("N")

log = logging.getLogger("turnout.control")

_VERSION = "table_version"
_ROUTERS = "routers"
_VERSION_NOTED: TypeAdapter[int] = TypeAdapter(Count)
_ROUTERS_NOTED: TypeAdapter[dict[str, str] | list[str]] = TypeAdapter(dict[str, str] | list[str])
_KEPT_AT_ONCE = 200  # apps written in one go: some milliseconds
_MOST_REFUSED = 20  # refused apps that are listed per router; the rest is counted
_LONGEST_WHY = 500
_MOST_ROUTERS = 1000  # per token: each new name is written to disk and waited for
_RESERVED = 100  # versions reserved by one write, so that versions rise across restarts


@dataclass(slots=True)
class Router:
    """What a router said in its last report."""

    token: str = ""  # the name of the token it came with
    key: str = ""  # digest of a secret that only the router knows
    applied: int = 0  # the version in force there, of our epoch
    behind_since: float | None = None  # monotonic; None while it has the newest table
    owes: frozenset[str] = frozenset()  # departed replicas that still have its requests
    # Likewise, for replicas in no table of this run: an earlier run may have routed to them.
    owes_others: bool = False
    has_orphans: bool = False  # its killed predecessor's workers may use any departed replica
    # apps that it did not take, with the reasons
    refused: Mapping[str, str] = field(default_factory=dict)
    refused_more: int = 0  # how many more it refused
    seen_at: float = 0.0  # monotonic
    is_connected: Callable[[], bool] = lambda: False

    def is_known_since(self, moment: float) -> bool:
        """Whether the router is connected, or was after that moment."""
        if self.is_connected():
            self.seen_at = time.monotonic()
        return self.seen_at >= moment

    def uses(self, replica: ReplicaName, left_in: int | None) -> bool:
        """Whether the router waits for an answer of a replica that left the table.

        `left_in` is the first version without the replica; None if it was in no table of this run.
        """
        return replica in self.owes if left_in is not None else self.owes_others


class Publisher:
    """Holds the compiled table and tells routers of it."""

    def __init__(self, store: Store, domain: str, *, lease_s: float) -> None:
        self._store = store
        self._domain = domain
        self._lease_s = lease_s
        self._admission = Admission()
        first = _noted(store, _VERSION, _VERSION_NOTED, 0)
        self._reserved = first
        self._table = Published(domain, secrets.token_hex(8), first)
        # A replica that was in no table of ours may be in one of the run before: a router that has
        # applied this version does not use those tables any more.
        self._first = first + 1
        self._changed = asyncio.Event()
        self.failures = Failures()
        self.rates = Rates()
        self._replicas: dict[str, frozenset[str]] = {}  # replicas in the table, by app
        self._routed: set[str] = set()  # the replicas of all apps
        self._left_in: dict[str, int] = {}  # replica to the first version without it
        # What routers last got of each app, on disk: an app may turn bad while we do not run.
        self._served = store.served()
        # apps that are now served in another version than the one on disk
        self._unserved: set[str] = set()
        # Routers from before a restart use an older table and may not have come back yet: their
        # leases begin now, or replicas that they route to would be stopped.
        known: dict[str, str] | list[str] = _noted(store, _ROUTERS, _ROUTERS_NOTED, {})
        # Keys by router name; earlier versions of turnout wrote the names only.
        self._recorded = known if isinstance(known, dict) else dict.fromkeys(known, "")
        now = time.monotonic()
        self._routers = {name: Router(key=k, seen_at=now) for name, k in self._recorded.items()}

    @property
    def epoch(self) -> str:
        """The name of this run of the control plane."""
        return self._table.epoch

    @property
    def version(self) -> int:
        """The version in force."""
        return self._table.version

    @property
    def is_published(self) -> bool:
        """Whether there is a table yet."""
        return self._table.version >= self._first

    @property
    def refused(self) -> Mapping[str, str]:
        """Apps whose newest version is not in the table, with the reasons."""
        return self._admission.refused

    @property
    def routers(self) -> dict[str, Router]:
        """The routers that are connected or whose lease has not ended."""
        since = time.monotonic() - self._lease_s
        return {name: r for name, r in self._routers.items() if r.is_known_since(since)}

    def behind(self) -> dict[str, float]:
        """Connected routers without the newest table, and the monotonic time since when."""
        return {
            name: router.behind_since
            for name, router in self._routers.items()
            if router.behind_since is not None and router.is_connected()
        }

    def snapshot(self) -> bytes:
        """The table in force as JSON; empty before the first."""
        return self._table.whole() if self.is_published else b""

    # --- the control plane's side

    def publish(self, changed: Iterable[tuple[str, AppView]]) -> bool:
        """Compile the apps that changed; True if that makes a new version of the table."""
        return self.put({name: self.compile(name, view) for name, view in changed})

    def compile(self, name: str, view: AppView) -> News:
        """An app as routers get it: None without ingress, or why they would refuse it.

        The routers' own check is made here, so that a bad app never reaches them.
        """
        try:
            compiled = compile_app(view)
            if compiled is None:
                return None
            found = check_app(orjson.loads(orjson.dumps(compiled)), self._domain)
        except Exception as error:  # only this app is bad, and it stays in the table as it was
            log.exception("event=app_not_compiled app=%s", name)
            return f"it cannot be compiled: {error!r}"
        return compiled if isinstance(found, App) else "; ".join(map(str, found))

    def put(self, news: Mapping[str, News]) -> bool:
        """Publish compiled apps; True if that makes a new version. A bad app stays as it was.

        The first call covers all apps, later calls only those that changed.
        """
        # Reserve first: between admitting news and the new table nothing may fail, because what was
        # admitted is not offered again.
        self._reserve(self.version + 1)
        known = dict(self.refused)
        changed = self._admission.admit(news) if self.is_published else self._begin(news)
        for name, why in self.refused.items():
            if known.get(name) != why:
                log.error("event=quarantined app=%s reason=%r", name, why)
        if not changed and self.is_published:  # the first table is published even if it is empty
            return False
        self._table.change(changed)
        self._unserved.update(changed)
        for name, app in changed.items():
            self._follow(name, _replicas(app))
        for router in self._routers.values():
            router.behind_since = router.behind_since or time.monotonic()
        event, self._changed = self._changed, asyncio.Event()
        event.set()
        return True

    def _begin(self, news: Mapping[str, News]) -> Mapping[str, App | None]:
        """The apps of the first table: good ones as they are now, bad ones as last served."""
        gone = dict.fromkeys(self._served.keys() - news.keys())
        self._admission.admit(news)
        if self.refused:
            # Two apps may want one host by now. What was served last is admitted before the news,
            # so that the app which had the host keeps it, whatever the order of names.
            self._admission = Admission()
            for name in sorted(self._served.keys() & news.keys()):
                if (app := self._served_last(name)) is not None:
                    self._admission.keep(app)
            self._admission.admit(news)
        return gone | self._admission.apps

    def _served_last(self, name: str) -> App | None:
        """An app as routers last got it; None if unreadable, or if they would refuse it."""
        try:
            found = check_app(orjson.loads(self._served[name]), self._domain)
        except ValueError as error:
            log.error("event=served_unreadable app=%s reason=%r", name, str(error))
            return None
        return found if isinstance(found, App) and found.name == name else None

    def keep_served(self, most: int = _KEPT_AT_ONCE) -> None:
        """Write some of the apps whose served version changed since it was written.

        This is read only after a restart, and only for apps that cannot be read or compiled any
        more: a few seconds' delay does no harm, and a write per table would.
        """
        names = [n for n, _ in zip(self._unserved, range(most), strict=False)]
        bodies = {name: self._table.body(name) for name in names}
        bodies = {n: body for n, body in bodies.items() if body != self._served.get(n)}
        try:
            if bodies:
                self._store.put_served(bodies)
        except ControlError:
            return  # the store has logged the failure, and the next call tries again
        self._unserved.difference_update(names)
        for name, body in bodies.items():
            if body is None:
                self._served.pop(name, None)
            else:
                self._served[name] = body

    def _follow(self, name: str, replicas: frozenset[str]) -> None:
        """Note which replicas of an app are in the table from now on, and which left it."""
        old = self._replicas.pop(name, frozenset())
        if replicas:
            self._replicas[name] = replicas
        self._routed -= old
        self._routed |= replicas
        self._left_in.update(dict.fromkeys(old - replicas, self.version))
        for replica in replicas - old:
            self._left_in.pop(replica, None)

    def _reserve(self, version: int) -> None:
        """Reserve versions up to `version` and some more, so that few tables need a write.

        If the write fails, the next run may begin lower, which is harmless because its epoch is
        new.
        """
        if version <= self._reserved:
            return
        self._reserved = version + _RESERVED
        try:
            self._store.put_meta(_VERSION, str(self._reserved))
        except ControlError as error:
            log.error("event=version_not_recorded reason=%r", error.message)

    def can_stop(self, replica: ReplicaName, is_late: bool = False) -> bool:
        """Whether no router can send requests to a replica, or waits for an answer of it.

        `is_late` drops the second condition: the drain timeout ends the wait for answers. It never
        ends the wait for a router that may still route to the replica, whose clients would get a
        502.
        """
        if replica in self._routed:
            return False
        left_in = self._left_in.get(replica)
        return all(
            r.applied >= (left_in or self._first)
            and not r.has_orphans
            and (is_late or not r.uses(replica, left_in))
            for r in self.routers.values()
        )

    def forget(self, replica: ReplicaName) -> None:
        """Drop the notes on a replica that has ended."""
        self._left_in.pop(replica, None)

    # --- the routers' side

    def hear(
        self,
        name: str,
        epoch: str,
        applied: int,
        in_flight: Mapping[str, int],
        is_connected: Callable[[], bool] = lambda: False,
        refused: Mapping[str, str] | None = None,
        token: str = "",
        key: str = "",
        has_orphans: bool = False,
    ) -> None:
        """Take a router's report. Each is complete, so that a lost one does no harm.

        Only what concerns our apps and replicas is kept, so that a broken router cannot fill our
        memory. Raises Conflict for too many routers under one token, and for a name that belongs to
        a router with another key.
        """
        self._routers = self.routers
        known = self._routers.get(name)
        key = sha256(key.encode()).hexdigest() if key else ""
        if known is not None and known.key and not compare_digest(known.key, key):
            raise Conflict(
                f"router {name} has another key; give this one a state directory of its own, or "
                f"wait until {self._lease_s:g} s after the other one left",
                code="NotThatRouter",
            )
        if known is None and self._of_token(token) >= _MOST_ROUTERS:
            raise Conflict(
                f"{_MOST_ROUTERS} routers have come with this token by now; give others a token of "
                f"their own, or wait {self._lease_s:g} s until those that left are forgotten",
                code="TooManyRouters",
            )
        ours = {n: w[:_LONGEST_WHY] for n, w in (refused or {}).items() if self._table.body(n)}
        refused = dict(islice(ours.items(), _MOST_REFUSED))
        if refused and (known is None or known.refused != refused):
            log.error("event=router_refuses router=%s apps=%r", name, refused)
        applied = applied if epoch == self.epoch else 0
        now = time.monotonic()
        behind_since = known.behind_since if known is not None else None
        self._routers[name] = Router(
            token=token,
            applied=applied,
            behind_since=None if applied == self.version else behind_since or now,
            key=key,
            owes=frozenset(r for r, n in in_flight.items() if n and r in self._left_in),
            owes_others=any(
                n and r not in self._left_in and r not in self._routed for r, n in in_flight.items()
            ),
            has_orphans=has_orphans,
            refused=refused,
            refused_more=len(ours) - len(refused),
            seen_at=now,
            is_connected=is_connected,
        )
        if self._recorded != (keys := {n: router.key for n, router in self._routers.items()}):
            self._record(keys)

    def _of_token(self, token: str) -> int:
        return sum(router.token == token for router in self._routers.values())

    def _record(self, keys: dict[str, str]) -> None:
        """Write down the known routers; after a failure the next report tries again."""
        try:
            self._store.put_meta(_ROUTERS, orjson.dumps(keys).decode())
        except ControlError as error:
            log.error("event=routers_not_recorded reason=%r", error.message)
        else:
            self._recorded = keys

    async def newer_than(self, known: Known, wait_s: float) -> bytes | None:
        """What a router lacks, as soon as it lacks anything; None after `wait_s` without news."""
        ends_at = time.monotonic() + wait_s
        while not self.is_published or self._is_newest(known):
            left = ends_at - time.monotonic()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return self._table.since(known)

    def _is_newest(self, known: Known) -> bool:
        table = self._table
        named = (table.epoch, table.version, table.hash)
        return (known["epoch"], known["version"], known["hash"] or table.hash) == named


def _noted(store: Store, key: str, kind: TypeAdapter[N], otherwise: N) -> N:
    """What an earlier run stored under a key; `otherwise` if there is nothing readable.

    A damaged note is logged and left alone: it must not keep the control plane from starting.
    """
    try:
        return kind.validate_json(store.meta(key) or orjson.dumps(otherwise))
    except ValueError as error:
        log.error("event=note_unreadable key=%s reason=%r", key, reason(error))
        return otherwise


def _replicas(app: App | None) -> frozenset[str]:
    revisions = app.revisions if app is not None else ()
    return frozenset(e.replica for revision in revisions for e in revision.endpoints)

"""Joins two sources into one table: a control plane or a routes file, and found containers.

A poll of the control plane acknowledges its last table. So a source is asked for more only once
every worker routes by what it said, and it is told its own versions, not the joined table's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from router.contract.snapshot import Snapshot
from router.sources.counted import Counts, Key
from router.sources.docker.rules import combine
from router.sources.source import Reporter, SnapshotSource

_EPOCH = "combined"
# for the other source's first table; a source that is away must not delay the start
_PATIENCE_S = 2.0


@dataclass
class _News:
    """What one source said; `taken` is set once every worker routes by it."""

    source: int
    what: Snapshot | str | Exception
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class CombinedSource:
    """Follows both sources, and reports to the first in terms of its own versions."""

    def __init__(self, first: SnapshotSource, second: SnapshotSource) -> None:
        self._sources = (first, second)
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._version = 0
        # the joined table's version to the first source's epoch and version
        self._first: dict[int, tuple[str, int]] = {}

    @property
    def heard_at(self) -> float:
        """When the first source, which may be a control plane, was last heard."""
        return max(source.heard_at for source in self._sources)

    def hurry(self) -> None:
        """Make both sources look again."""
        for source in self._sources:
            source.hurry()

    async def kept(self) -> None:
        """Wait until both sources have kept their tables."""
        for source in self._sources:
            await source.kept()

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yield a table whenever either source has a new one."""
        seen = _Seen(reporter, self._first)
        pumps = [asyncio.create_task(self._pump(i, seen)) for i in range(len(self._sources))]
        tables: dict[int, Snapshot] = {}
        try:
            words = await self._first_words()
            while True:
                for refusal in (w.what for w in words if isinstance(w.what, str)):
                    yield refusal
                tables |= {w.source: w.what for w in words if isinstance(w.what, Snapshot)}
                if any(isinstance(w.what, Snapshot) for w in words):
                    yield self._numbered(tables, reporter)
                for word in words:
                    word.taken.set()
                words = [await self._next()]
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, number: int, reporter: Reporter) -> None:
        """Pass on what a source says, one table at a time: the next poll acknowledges the last."""
        try:
            async for what in self._sources[number].follow(reporter):
                word = _News(number, what)
                self._news.put_nowait(word)
                await word.taken.wait()
        except Exception as error:
            self._news.put_nowait(_News(number, error))

    async def _next(self) -> _News:
        word = await self._news.get()
        if isinstance(word.what, Exception):
            raise word.what
        return word

    async def _first_words(self) -> list[_News]:
        """The first table of each source, or of one if the other stays silent for _PATIENCE_S."""
        words = [await self._next()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                words.append(await self._next())
        return words

    def _numbered(self, tables: dict[int, Snapshot], reporter: Reporter) -> Snapshot:
        first = tables.get(0, Snapshot())
        second = tables.get(1, Snapshot())
        self._version += 1
        _, in_force = reporter.applied()
        for old in [version for version in self._first if version < in_force]:
            del self._first[old]
        self._first[self._version] = (first.epoch, first.version)
        domain = first.domain if 0 in tables else second.domain
        table = combine(dataclasses.replace(first, domain=domain), second)
        return dataclasses.replace(table, version=self._version, epoch=_EPOCH)


class _Seen:
    """What is in force, in versions of the first source."""

    def __init__(self, reporter: Reporter, contained: dict[int, tuple[str, int]]) -> None:
        self._reporter = reporter
        self._contained = contained

    def applied(self) -> tuple[str, int]:
        """Epoch and version of the first source's table that every worker routes by."""
        epoch, version = self._reporter.applied()
        return self._contained.get(version, ("", 0)) if epoch == _EPOCH else ("", 0)

    def departed(self) -> dict[str, int]:
        """Requests in flight at replicas that left the table."""
        return self._reporter.departed()

    def has_orphans(self) -> bool:
        return self._reporter.has_orphans()

    def failures(self) -> dict[str, tuple[int, int]]:
        return self._reporter.failures()

    def counts(self) -> dict[Key, Counts]:
        return self._reporter.counts()

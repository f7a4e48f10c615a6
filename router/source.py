"""Where tables come from: a routes file, or a control plane with a last-known-good beside it.

A source yields a Snapshot for each new table and a text for each one it refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import aiohttp
import orjson

from router.routes_file import BadRoutes, parse
from router.snapshot import Snapshot
from router.state import write_durably
from router.validate import check

log = logging.getLogger("turnout.router")

_FILE_POLL_S = 0.25  # a stat each; inotify would miss some mounts and needs a library
_POLL_WAIT_S = 25.0  # a long poll's length: below the idle limits of proxies between
_DRAIN_POLL_S = 0.25  # while departed replicas are busy, control waits for their numbers
_RETRY_S = 0.25
_SILENT_RETRIES = 8  # a control plane that starts beside us is no news


class Reporter(Protocol):
    """What a source may tell the control plane of the router."""

    def applied(self) -> tuple[str, int]:
        """Epoch and version in force in every worker."""

    def departed(self) -> dict[str, int]:
        """Requests in flight at replicas that left the table."""


class SnapshotSource(Protocol):
    """A never-ending sequence of tables."""

    def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yields each new table, or the reason why one was refused."""

    def hurry(self) -> None:
        """Look again now (SIGHUP)."""


class FileSource:
    """A routes file, watched. Its version counts the loads."""

    def __init__(self, path: Path, domain: str) -> None:
        self._path = path
        self._domain = domain
        self._hurry = asyncio.Event()
        self._version = 0

    def hurry(self) -> None:
        """Read the file again even if it looks the same."""
        self._hurry.set()

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """A table whenever the file changes; by rename or in place."""
        seen: object = None
        while True:
            stamp = self._stamp()
            if stamp != seen or self._hurry.is_set():
                self._hurry.clear()
                seen = stamp
                yield self._load()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FILE_POLL_S):
                    await self._hurry.wait()

    def _stamp(self) -> object:
        try:
            status = self._path.stat()
        except OSError as error:
            return error.errno
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> Snapshot | str:
        try:
            snapshot = parse(self._path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            return f"cannot read {self._path}: {error}"
        except BadRoutes as error:
            return f"{self._path}: {error}"
        self._version += 1
        return dataclasses.replace(snapshot, version=self._version, epoch="file")


class ControlSource:
    """A control plane, by long poll: the poll is the acknowledgement of the last answer."""

    def __init__(self, url: str, state: Path, token: str = "") -> None:
        self._is_unix = url.startswith("unix:")
        self._url = "http://control" if self._is_unix else url.rstrip("/")
        self._path = url.removeprefix("unix:")
        self._token = token
        self._good = state / "table.json"
        self._identity = state / "router-id"
        self._hurry = asyncio.Event()
        self._told: tuple[str, int] = ("", 0)  # of the newest table received

    def hurry(self) -> None:
        """The control plane pushes by itself."""

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """First the last-known-good table, then what the control plane says."""
        known = self._last_good()
        if known is not None:
            self._told = (known.epoch, known.version)
            yield known
        router = self._router_id()
        connector = aiohttp.UnixConnector(self._path) if self._is_unix else None
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        failures = 0
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            while True:
                try:
                    body = await self._poll(session, router, reporter)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    failures += 1
                    if failures == _SILENT_RETRIES:
                        log.warning("event=control_lost reason=%r", str(error) or repr(error))
                    await asyncio.sleep(_RETRY_S)
                    continue
                if failures >= _SILENT_RETRIES:
                    log.warning("event=control_found")
                failures = 0
                if body is not None:
                    yield self._take(body)

    async def _poll(
        self, session: aiohttp.ClientSession, router: str, reporter: Reporter
    ) -> bytes | None:
        epoch, version = reporter.applied()
        departed = reporter.departed()
        wait_s = _POLL_WAIT_S
        if departed or (epoch, version) != self._told:
            wait_s = _DRAIN_POLL_S  # something will be worth telling soon
        report = {
            "router": router,
            "epoch": epoch,
            "applied": version,
            "in_flight": departed,
            "known": {"epoch": self._told[0], "version": self._told[1]},
            "wait_s": wait_s,
        }
        timeout = aiohttp.ClientTimeout(total=wait_s + 10)
        url = f"{self._url}/v1/sync"
        async with session.post(url, data=orjson.dumps(report), timeout=timeout) as response:
            if response.status == 204:
                return None
            response.raise_for_status()
            return await response.read()

    def _take(self, body: bytes) -> Snapshot | str:
        try:
            found = check(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            return f"the control plane's table is no JSON: {error}"
        if not isinstance(found, Snapshot):
            return "; ".join(map(str, found))
        self._told = (found.epoch, found.version)
        try:
            write_durably(self._good, body)
        except OSError as error:
            log.error("event=table_not_saved path=%s reason=%r", self._good, str(error))
        return found

    def _last_good(self) -> Snapshot | None:
        try:
            found = check(orjson.loads(self._good.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            log.error("event=last_good_unreadable path=%s reason=%r", self._good, str(error))
            return None
        return found if isinstance(found, Snapshot) else None

    def _router_id(self) -> str:
        """A name that survives a restart, so that the control plane does not wait for a ghost."""
        try:
            return self._identity.read_text().strip()
        except OSError:
            name = f"router-{secrets.token_hex(4)}"
            write_durably(self._identity, name.encode())
            return name

"""Follows a control plane, and keeps the last good table on disk."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from router.contract.snapshot import Snapshot
from router.process.state import write_durably
from router.sources.counted import Counted
from router.sources.last_good import LastGood
from router.sources.received import Received
from router.sources.source import Reporter

log = logging.getLogger("turnout.router")

_POLL_WAIT_S = 5.0  # a long poll's length, and the age of what a control plane knows of failures
# the control plane waits for the numbers of departed replicas while these are busy
_DRAIN_POLL_S = 0.25
_RETRY_S = 0.25
_KEEP_S = 5.0
_LONGEST_PAUSE_S = 30.0  # the longest, after tables that were refused whole
_MOST_DOUBLINGS = 7
_MAX_TABLE_BYTES = 256 << 20  # 10,000 apps take about 5 MiB
_SILENT_RETRIES = 8  # failures not logged, since a control plane may be starting beside us


class ControlSource:
    """Follows a control plane by long poll: each poll acknowledges the answer before it."""

    def __init__(self, url: str, state: Path, token: Callable[[], str]) -> None:
        self._is_unix = url.startswith("unix:")
        self._url = "http://control" if self._is_unix else url.rstrip("/")
        self._path = url.removeprefix("unix:")
        self._token = token
        self._last_good = LastGood(state)
        self._state = state
        self._received = Received()
        self._counted = Counted()
        self.heard_at = 0.0
        self._refusals = 0  # whole answers refused in a row
        self._is_saving = True  # whether the last good table could be written to disk
        self._keeping: asyncio.Task[None] | None = None

    def hurry(self) -> None:
        """Does nothing: a long poll already hears of every change at once."""

    async def kept(self) -> None:
        """Wait for the disk even when nobody follows: a router must not start with less than it
        served.
        """
        if self._keeping is not None:
            await asyncio.wait({self._keeping}, timeout=_KEEP_S)

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yield the last good table from disk, then what the control plane sends."""
        self._received = self._last_good.load()
        if self._received.version:
            yield self._received.snapshot()
        me = {"router": self._kept("router-id", "router-"), "key": self._kept("router-key", "")}
        connector = aiohttp.UnixConnector(self._path) if self._is_unix else None
        failures = 0
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                try:
                    body = await self._poll(session, me, reporter)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    failures += 1
                    if failures == _SILENT_RETRIES:
                        log.warning("event=control_lost reason=%r", str(error) or repr(error))
                    await asyncio.sleep(_RETRY_S)
                    continue
                if failures >= _SILENT_RETRIES:
                    log.warning("event=control_found")
                failures, self.heard_at = 0, time.time()
                if body is not None:
                    wire = _decoded(body)
                    what = self._take(wire)
                    if not self._refusals:
                        # Written at once: an upgrade may end this process as soon as the table is
                        # yielded.
                        self._keeping = asyncio.create_task(self._keep(wire))
                    yield what
                    await self._settle()

    async def _poll(
        self, session: aiohttp.ClientSession, me: dict[str, str], reporter: Reporter
    ) -> bytes | None:
        epoch, version = reporter.applied()
        departed, has_orphans = reporter.departed(), reporter.has_orphans()
        received = self._received
        wait_s = _POLL_WAIT_S
        if departed or has_orphans or (epoch, version) != (received.epoch, received.version):
            wait_s = _DRAIN_POLL_S  # there will soon be something to report
        report = {
            **me,
            "epoch": epoch,
            "applied": version,
            "in_flight": departed,
            "orphans": has_orphans,
            "known": received.known if not self._refusals else {},
            "failures": reporter.failures(),
            "counted": self._counted.news(time.monotonic(), reporter.counts()),
            "refused": dict(received.refused),
            "wait_s": wait_s,
        }
        timeout = aiohttp.ClientTimeout(total=wait_s + 10)
        url = f"{self._url}/v1/sync"
        headers = {"Content-Type": "application/json"}
        # read each time, because the control plane may create it after our start
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        async with session.post(
            url, data=orjson.dumps(report), headers=headers, timeout=timeout
        ) as response:
            if response.status in _NOT_LET_IN:
                raise aiohttp.ClientError(_NOT_LET_IN[response.status])
            response.raise_for_status()
            self._counted.arrived()
            if response.status == 204:
                return None
            return await _read(response)

    def _take(self, wire: Any) -> Snapshot | str:
        """The table after an answer, or why the answer was refused whole."""
        is_json = not isinstance(wire, orjson.JSONDecodeError)
        wrong = self._received.take(wire) if is_json else f"it is not valid JSON: {wire}"
        if wrong:
            self._refusals += 1
            return f"the control plane's table was refused: {wrong}"
        self._refusals = 0
        if not self._received.is_delta:
            # the table stays: collections would walk through 10,000 apps again and again
            gc.freeze()
        return self._received.snapshot()

    async def _settle(self) -> None:
        """Wait until the table is on disk, which the next poll acknowledges; pause after a refusal.

        The first refusal asks for the whole table at once, since the beginning of a delta may have
        been missed; each further one waits longer.
        """
        if self._refusals:
            pause = _RETRY_S * 2 ** min(self._refusals - 2, _MOST_DOUBLINGS)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_S) if self._refusals > 1 else 0)
        elif self._keeping is not None:
            await asyncio.wait({self._keeping})

    async def _keep(self, wire: Any) -> None:
        try:
            is_kept = self._received.is_delta and await asyncio.to_thread(
                self._last_good.append, wire
            )
            if not is_kept:
                await asyncio.to_thread(self._last_good.keep, self._received.whole())
        except OSError as error:
            if self._is_saving:
                log.error("event=table_not_saved reason=%r", str(error))
            self._is_saving = False
        else:
            self._is_saving = True

    def _kept(self, file: str, prefix: str) -> str:
        """A random word in a file, so that it survives restarts.

        There are two: a name, so that the control plane does not wait for a router that is gone,
        and a key, so that nobody else can report under that name.
        """
        path = self._state / file
        try:
            return path.read_text().strip()
        except OSError:
            word = f"{prefix}{secrets.token_hex(4 if prefix else 16)}"
        try:
            write_durably(path, word.encode())
        except OSError as error:  # a new word after each start costs a lease, nothing more
            log.error("event=router_id_not_saved path=%s reason=%r", path, str(error))
        return word


_NOT_LET_IN = {
    401: "the control plane does not know this router's token; set TURNOUT_TOKEN to one of its"
    " tokens of the role router, or token_file to its file",
    403: "this router's token may not follow the control plane; set TURNOUT_TOKEN to one of the"
    " role router",
}


def _decoded(body: bytes) -> Any:
    """The decoded JSON of an answer. Raises an error when it is not valid JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body. Raises OSError when it is too long."""
    parts: list[bytes] = []
    left = _MAX_TABLE_BYTES
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            raise OSError(f"the control plane's table is longer than {_MAX_TABLE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)

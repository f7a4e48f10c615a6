"""A control plane as the source of tables, with the last good table on disk beside it."""

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
_DRAIN_POLL_S = 0.25  # while departed replicas are busy, control waits for their numbers
_RETRY_S = 0.25
_KEEP_S = 5.0
_LONGEST_PAUSE_S = 30.0  # between two tables that were refused whole
_MOST_DOUBLINGS = 7
_MAX_TABLE_BYTES = 256 << 20  # 10,000 apps take about 5 MiB
_SILENT_RETRIES = 8  # a control plane that starts beside us is no news


class ControlSource:
    """A control plane, by long poll: the poll is the acknowledgement of the last answer."""

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
        self._refusals = 0  # whole answers in a row that could not be taken
        self._is_saving = True  # whether the last good table could be kept
        self._keeping: asyncio.Task[None] | None = None

    def hurry(self) -> None:
        """The control plane pushes by itself."""

    async def kept(self) -> None:
        """Also while nobody follows any more: routers may not start with less than they served."""
        if self._keeping is not None:
            await asyncio.wait({self._keeping}, timeout=_KEEP_S)

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """First the last-known-good table, then what the control plane says."""
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
                        # Begun at once: whoever gets the table may be ended by an upgrade.
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
            wait_s = _DRAIN_POLL_S  # something will be worth telling soon
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
        if token := self._token():  # each time: the control plane may make it after our start
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
        """The table after an answer, or why it was refused whole."""
        is_json = not isinstance(wire, orjson.JSONDecodeError)
        wrong = self._received.take(wire) if is_json else f"it is not valid JSON: {wire}"
        if wrong:
            self._refusals += 1
            return f"the control plane's table was refused: {wrong}"
        self._refusals = 0
        if not self._received.is_delta:
            gc.freeze()  # it stays: collections would look through 10,000 apps again and again
        return self._received.snapshot()

    async def _settle(self) -> None:
        """What was taken is acknowledged when it is kept; after a refusal, wait ever longer.

        The first refusal asks for the whole table at once: a delta may have missed its beginning.
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
        """A random word that survives a restart: a name, so that the control plane does not wait
        for a ghost, and a key, so that nobody else can speak in that name.
        """
        path = self._state / file
        try:
            return path.read_text().strip()
        except OSError:
            word = f"{prefix}{secrets.token_hex(4 if prefix else 16)}"
        try:
            write_durably(path, word.encode())
        except OSError as error:  # another one after the next start costs a lease and no more
            log.error("event=router_id_not_saved path=%s reason=%r", path, str(error))
        return word


_NOT_LET_IN = {
    401: "the control plane does not know this router's token; set TURNOUT_TOKEN to one of its"
    " tokens of the role router, or token_file to its file",
    403: "this router's token may not follow the control plane; set TURNOUT_TOKEN to one of the"
    " role router",
}


def _decoded(body: bytes) -> Any:
    """The JSON of an answer, or the error that it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body, with a bound. Raises OSError beyond it."""
    parts: list[bytes] = []
    left = _MAX_TABLE_BYTES
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            raise OSError(f"the control plane's table is longer than {_MAX_TABLE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)

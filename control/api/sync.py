"""A router's report in, a newer table out (long poll). The next report is the acknowledgement."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from control.api.keys import PUBLISHER, RECONCILER
from control.api.wire.problems import body_of, decode
from control.model.kinds import Count
from control.publish import published
from router.process.guard import TOKEN, waits

_MAX_WAIT_S = 60.0
_WATCHED_WAIT_S = 1.0  # while somebody watches the rates, which come with the reports


class Known(BaseModel):
    """The newest table a router has received; without a hash it gets whole tables."""

    epoch: str = ""
    version: int = 0
    hash: str = ""


class Counted(BaseModel):
    """What came since the last report: app, revision, requests, errors, requests by bucket."""

    seconds: Annotated[float, Field(ge=0, le=86400)] = 0.0
    revisions: list[tuple[str, str, Count, Count, list[Count]]] = []


class Report(BaseModel):
    """The full truth of one router; unknown keys are a newer router's."""

    router: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    # so that no other router can report under its name
    key: Annotated[str, Field(pattern=r"^[!-~]{0,128}$")] = ""
    epoch: str = ""
    applied: int = 0
    in_flight: dict[str, int] = {}
    orphans: bool = False  # it has workers that it cannot speak for
    known: Known = Known()
    failures: dict[str, tuple[Count, Count]] = {}  # requests and errors of the last seconds
    counted: Counted = Counted()
    refused: dict[str, str] = {}  # apps whose newest version it does not route, with the reason
    wait_s: Annotated[float, Field(ge=0, le=_MAX_WAIT_S)] = 0.0


async def sync(request: web.Request) -> web.Response:
    """POST /v1/sync: 200 with a newer table, or what changed since the known one; else 204."""
    report = decode(Report, await body_of(request))
    publisher = request.app[PUBLISHER]
    connection, token = request.transport, request.get(TOKEN)

    def is_connected() -> bool:
        return connection is not None and not connection.is_closing()

    publisher.hear(
        report.router,
        report.epoch,
        report.applied,
        report.in_flight,
        is_connected,
        report.refused,
        token.name if token is not None else "",
        report.key,
        report.orphans,
    )
    publisher.failures.hear(report.router, report.failures)
    rates = publisher.rates
    if report.counted.seconds:
        rates.hear(report.router, report.counted.seconds, report.counted.revisions)
    request.app[RECONCILER].routers_reported()
    waits(request)
    wait_s = min(report.wait_s, _WATCHED_WAIT_S if rates.watchers else _MAX_WAIT_S)
    has = report.known
    known: published.Known = {"epoch": has.epoch, "version": has.version, "hash": has.hash}
    body = await publisher.newer_than(known, wait_s)
    if body is None:
        return web.Response(status=204)
    return web.Response(body=body, content_type="application/json")

"""Handlers of injected faults."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, model_validator

from control.api.keys import CHANGES
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of, revision_of
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import revision_wire
from control.changes.changes import Outcome
from control.model.clock import SystemClock
from control.model.kinds import Model, folded
from router.contract.check import MAX_DELAY_MS, MAX_FAULT_S
from router.contract.snapshot import Fault

Percent = Annotated[float, Field(ge=0, le=100)]


class FaultBody(Model):
    """What to do to which part of a revision's requests, and for how many seconds."""

    delay_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)] = 0
    delay_percent: Percent = 100.0
    abort_status: Annotated[int, Field(ge=400, le=599)] = 503
    abort_percent: Percent = 0.0
    seconds: Annotated[float, Field(gt=0, le=MAX_FAULT_S)] = 300.0

    @model_validator(mode="after")
    def _does_something(self) -> FaultBody:
        if not (self.delay_ms and self.delay_percent) and not self.abort_percent:
            raise ValueError("give delayMs or abortPercent")
        return self


async def set_fault(request: web.Request) -> web.Response:
    """PUT …/fault: some requests are delayed or refused, until the seconds are over."""
    body = decode(FaultBody, await body_of(request))
    now = SystemClock().now()
    fault = Fault(
        now.wall + body.seconds,
        body.delay_ms,
        body.delay_percent if body.delay_ms else 0.0,
        body.abort_status,
        body.abort_percent,
        body.seconds,
    )
    ends_at = now.steady + body.seconds
    done = request.app[CHANGES].set_fault(
        caller_of(request), app_of(request), revision_of(request), fault, ends_at
    )
    return _answer(request, done)


async def clear_fault(request: web.Request) -> web.Response:
    """DELETE …/fault: end it at once."""
    changes = request.app[CHANGES]
    done = changes.clear_fault(caller_of(request), app_of(request), revision_of(request))
    return _answer(request, done)


def _answer(request: web.Request, done: Outcome) -> web.Response:
    name, domain = folded(revision_of(request)), request.app[CHANGES].domain
    return answer(done, lambda view: reply(revision_wire(view, view.revisions[name], domain)))

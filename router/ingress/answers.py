"""Answers of the edge itself, and how requests are counted that could not be read."""

from __future__ import annotations

from router.contract.outcomes import Outcome
from router.forwarding.context import Context
from router.http.request_head import RequestHead, prefers_json
from router.routing.stats import UNKNOWN_APP


def answer_to(head: RequestHead, outcome: Outcome, context: Context, *, keeps_alive: bool) -> bytes:
    """The answer of the edge to a request."""
    return outcome.reply(
        head.request_id,
        date=context.clock.date_line,
        as_json=prefers_json(head.block),
        is_head=head.method == b"HEAD",
        closes=not keeps_alive,
    )


def refusal_of(wire: bytes, outcome: Outcome, context: Context) -> bytes:
    """The answer to what is no request; `wire` is what there is of it."""
    return outcome.reply(
        context.ids.new(),
        date=context.clock.date_line,
        as_json=prefers_json(wire),
        is_head=False,
        closes=True,
    )


def count_unread(outcome: Outcome, context: Context, peer: str) -> None:
    """Count and log what was no request."""
    context.stats.of(UNKNOWN_APP, "").codes[outcome.status] += 1
    context.stats.errors[UNKNOWN_APP, outcome.code] += 1
    if context.access_log is not None:
        context.access_log.add_unreadable(peer, outcome)

"""An exchange ends in each of its states: with one answer or one abort, and nothing in flight."""

from __future__ import annotations

import pytest

from router.forwarding.states import MOVES, NAMES, moved
from tests.support.builders import take
from tests.support.sides import Stage, play

# How far a request has come, and what is then done to the replica's side when it ends.
STATES = {
    "connecting": (
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        """,
        "cancel one",
    ),
    "sent": (
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        """,
        "one close",
    ),
    "uploading": (
        """
        > request POST / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=9
        < arm body
        < client resume
        """,
        "one close",
    ),
    "answering": (
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 5
        > body ab
        > flush
        < client write HTTP/1.1 200 OK length=5 'ab'
        < arm more
        """,
        "one close",
    ),
    "answering early": (
        """
        > request POST / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=9
        < arm body
        < client resume
        > head 200 OK | Transfer-Encoding: chunked
        > body ab
        > flush
        < client write HTTP/1.1 200 OK chunked '2\\r\\nab\\r\\n'
        < arm more
        """,
        "one close",
    ),
}
COUNTED = {"answering": "200", "answering early": "200"}


@pytest.mark.parametrize("state", STATES)
async def test_the_client_leaves(state: str) -> None:
    so_far, then = STATES[state]

    play(Stage(), f"{so_far}\n> client gone\n< {then}\n= {COUNTED.get(state, '499')}")


@pytest.mark.parametrize("state", STATES)
async def test_the_client_takes_nothing_for_too_long(state: str) -> None:
    so_far, then = STATES[state]

    counted = f"{COUNTED.get(state, '499')} ClientStalled"
    play(Stage(), f"{so_far}\n> client stalled\n< {then}\n= {counted}")


TOO_LATE = {
    "connecting": ("client answer 504 UpstreamTimeout", "504 UpstreamTimeout"),
    "sent": ("client answer 504 UpstreamTimeout", "504 UpstreamTimeout"),
    "uploading": ("client answer 408 RequestTimeout", "408 RequestTimeout"),
    "answering": ("client cut", "200 UpstreamTimeout"),
    "answering early": ("client cut", "200 RequestTimeout"),
}


@pytest.mark.parametrize("state", STATES)
async def test_it_takes_too_long(state: str) -> None:
    so_far, then = STATES[state]
    answer, counted = TOO_LATE[state]

    play(Stage(), f"{so_far}\n> too late\n< {then}\n< {answer}\n= {counted}")


@pytest.mark.parametrize("state", ["uploading", "answering early"])
async def test_the_body_cannot_be_read(state: str) -> None:
    so_far, _ = STATES[state]
    ends = {
        "uploading": "< client answer 400 BadRequest and close\n= 400 BadRequest",
        "answering early": "< client cut\n= 200 BadRequest",
    }

    play(Stage(), f"{so_far}\n> chunk malformed\n< one close\n{ends[state]}")


async def test_a_body_that_the_replica_does_not_take_is_its_own_delay() -> None:
    stage = Stage()
    so_far, _ = STATES["uploading"]
    play(stage, so_far)

    stage.connections[0].is_blocked = True

    play(
        stage,
        """
        > too late
        < one close
        < client answer 504 UpstreamTimeout
        = 504 UpstreamTimeout
        """,
    )


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large() -> None:
    play(
        Stage(max_body_bytes=4),
        """
        > request PUT / HTTP/1.1 | Transfer-Encoding: chunked
        < arm connect
        < connect one
        > connected
        < one begin PUT / HTTP/1.1 chunked
        < arm body
        < client resume
        > upload abcdef
        < one close
        < client answer 413 ContentTooLarge and close
        = 413 ContentTooLarge
        """,
    )


async def test_an_answer_to_http10_that_is_cut_is_told_from_a_complete_one() -> None:
    play(
        Stage(),
        """
        > request GET / HTTP/1.0
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Transfer-Encoding: chunked
        > body ab
        > flush
        < client write HTTP/1.1 200 OK close 'ab'
        < arm more
        > replica breaks
        < client reset
        = 200 UpstreamReset
        """,
    )


async def test_a_request_for_no_app_is_answered_at_once() -> None:
    stage = Stage()
    take(stage.context)

    play(
        stage,
        """
        > request GET / HTTP/1.1
        < client answer 404 HostNotFound
        = 404 HostNotFound
        """,
    )


async def test_an_injected_fault_may_be_the_answer() -> None:
    stage = Stage()
    stage.fault(abort_percent=100, abort_status=503)

    play(
        stage,
        """
        > request GET / HTTP/1.1
        < client answer 503 FaultInjected
        = 503 FaultInjected
        """,
    )


# --- states


def test_an_exchange_that_is_over_stays_over() -> None:
    for state in ("answered", "refused", "cut", "abandoned", "ended"):
        assert MOVES[NAMES.index(state)] == ()


def test_a_move_that_is_not_in_the_table_is_a_mistake_that_shows() -> None:
    with pytest.raises(RuntimeError, match="what is answered cannot become refused"):
        moved(NAMES.index("answered"), NAMES.index("refused"))

"""How an exchange gets to a replica: what is tried again, and what is not."""

from __future__ import annotations

import pytest

from tests.support.sides import Stage, play

ON_ITS_WAY = """
    > request GET / HTTP/1.1
    < arm connect
    < connect one
"""
SENT = f"""
    {ON_ITS_WAY}
    > connected
    < one begin GET / HTTP/1.1
    < arm response
"""
ANSWERED_BY_TWO = """
    > connected
    < two begin GET / HTTP/1.1
    < arm response
    > head 200 OK | Content-Length: 0
    > end
    < client write HTTP/1.1 200 OK length=0
    < two release
    < client finished
"""
SCENARIOS = {
    "a refused connection: another replica": f"""
        {ON_ITS_WAY}
        > connect refused
        < arm connect
        < connect two
        {ANSWERED_BY_TWO}
        = 200
    """,
    "a POST, too: it was not sent": """
        > request POST / HTTP/1.1 | Content-Length: 3
        < arm connect
        < connect one
        > upload abc
        > uploaded
        > connect refused
        < arm connect
        < connect two
        > connected
        < two begin POST / HTTP/1.1 length=3 'abc'
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < two release
        < client finished
        = 204
    """,
    "every replica refuses": f"""
        {ON_ITS_WAY}
        > connect refused
        < arm connect
        < connect two
        > connect timed out
        < client answer 504 UpstreamConnectTimeout
        = 504 UpstreamConnectTimeout
    """,
    "the router has no socket left: no other replica would help": f"""
        {ON_ITS_WAY}
        > connect out of sockets
        < client answer 503 RouterOutOfSockets
        = 503 RouterOutOfSockets
    """,
    "a replica breaks off before it answers": f"""
        {SENT}
        > replica breaks
        < arm connect
        < connect two
        {ANSWERED_BY_TWO}
        = 200
    """,
    "two break off: the request may be what breaks them": f"""
        {SENT}
        > replica breaks
        < arm connect
        < connect two
        > connected
        < two begin GET / HTTP/1.1
        < arm response
        > replica breaks
        < client answer 502 UpstreamReset
        = 502 UpstreamReset
    """,
    "an interim answer is no answer": f"""
        {SENT}
        > head 103 Early Hints
        < client write HTTP/1.1 103 Early Hints
        > replica breaks
        < arm connect
        < connect two
        {ANSWERED_BY_TWO}
        = 200
    """,
    "once the answer has begun, it is cut short": f"""
        {SENT}
        > head 200 OK | Content-Length: 5
        > body ab
        > flush
        < client write HTTP/1.1 200 OK length=5 'ab'
        < arm more
        > replica breaks
        < client cut
        = 200 UpstreamReset
    """,
    "a POST is not sent twice": """
        > request POST / HTTP/1.1 | Content-Length: 3
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=3
        < arm body
        < client resume
        > upload abc
        < one write 'abc'
        < arm body
        > uploaded
        < arm response
        > replica breaks
        < client answer 502 UpstreamReset
        = 502 UpstreamReset
    """,
    "unless nothing of it had left": """
        > request POST / HTTP/1.1 | Content-Length: 3
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=3
        < arm body
        < client resume
        > nothing was sent
        > upload abc
        < one write 'abc'
        < arm body
        > uploaded
        < arm response
        > replica breaks
        < arm connect
        < connect two
        > connected
        < two begin POST / HTTP/1.1 length=3 'abc'
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < two release
        < client finished
        = 204
    """,
    "a PUT is sent again with what has come of its body": """
        > request PUT / HTTP/1.1 | Content-Length: 6
        < arm connect
        < connect one
        > connected
        < one begin PUT / HTTP/1.1 length=6
        < arm body
        < client resume
        > upload abc
        < one write 'abc'
        < arm body
        > replica breaks
        < arm connect
        < connect two
        > connected
        < two begin PUT / HTTP/1.1 length=6 'abc'
        < arm body
        < client resume
        > upload def
        < two write 'def'
        < arm body
        > uploaded
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < two release
        < client finished
        = 204
    """,
    "what is not HTTP is not asked for twice": f"""
        {SENT}
        > replica talks nonsense
        < one close
        < client answer 502 UpstreamProtocolError
        = 502 UpstreamProtocolError
    """,
    "the replica leaves while it is connected to: its successor is asked": f"""
        {ON_ITS_WAY}
        > replica leaves
        < cancel one
        < arm connect
        < connect two
        {ANSWERED_BY_TWO}
        = 200
    """,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_attempt_goes_as_its_transcript_says(name: str) -> None:
    play(Stage(), SCENARIOS[name])


async def test_a_long_body_is_not_sent_twice() -> None:
    play(
        Stage(replay_bytes=4),
        """
        > request PUT / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > connected
        < one begin PUT / HTTP/1.1 length=9
        < arm body
        < client resume
        > upload abcdef
        < one write 'abcdef'
        < arm body
        > replica breaks
        < client answer 502 UpstreamReset
        = 502 UpstreamReset
        """,
    )


async def test_a_stale_connection_costs_no_replica_its_turn() -> None:
    stage = Stage(replicas=1)

    play(
        stage,
        """
        > idle
        > request GET / HTTP/1.1
        < one begin GET / HTTP/1.1
        < arm response
        > replica breaks
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < one release
        < client finished
        = 204
        """,
    )

    assert stage.context.stats.of("shop", "shop--v1").retries == {"stale": 1}
    assert not stage.context.stats.of("shop", "shop--v1").ejections


async def test_a_post_takes_no_connection_that_has_been_idle_for_long() -> None:
    stage = Stage(replicas=1)
    stage.idle()
    stage.context.clock.now += 2

    play(
        stage,
        """
        > request POST / HTTP/1.1
        < arm connect
        < connect one
        > client gone
        < cancel one
        = 499
        """,
    )


async def test_without_a_budget_the_first_failure_is_the_answer() -> None:
    play(
        Stage(retry_min_per_s=0.0, retry_budget_percent=0),
        f"""
        {ON_ITS_WAY}
        > connect refused
        < client answer 502 UpstreamConnectFailed
        = 502 UpstreamConnectFailed
        """,
    )


async def test_a_replica_that_failed_is_passed_over_before_its_place_is_given_away() -> None:
    stage = Stage(replicas=1, max_in_flight_per_replica=1)
    (replica,) = stage.replicas
    found: list[float] = []

    class Next:
        """The first of the queue."""

        def admitted(self, replica: object) -> None:
            found.append(stage.replicas[0].ejected_until)

    play(stage, ON_ITS_WAY)
    replica.queue.append(Next())
    play(
        stage,
        """
        > connect refused
        < client answer 502 UpstreamConnectFailed
        = 502 UpstreamConnectFailed
        """,
    )

    assert found
    assert found[0] > stage.context.clock.now


# --- waiting for room


WAITING = """
    > request GET / HTTP/1.1
    < arm queue
"""


def full() -> Stage:
    """A stage whose only replica has all the requests that it may have."""
    stage = Stage(replicas=1, max_in_flight_per_replica=1)
    stage.replicas[0].in_flight = 1
    return stage


async def test_a_request_waits_for_room_and_is_sent_then() -> None:
    stage = full()
    play(stage, WAITING)

    stage.replicas[0].leave()

    assert stage.took() == ["arm connect"]


async def test_nobody_waits_for_room_longer_than_is_said() -> None:
    stage = full()

    play(stage, WAITING + "\n> too late\n< client answer 503 ReplicaOverloaded")

    assert not stage.context.registry.queued()
    assert stage.replicas[0].in_flight == 1


async def test_a_client_that_leaves_the_queue_leaves_no_gap() -> None:
    stage = full()

    play(stage, WAITING + "\n> client gone")

    assert not stage.context.registry.queued()


async def test_a_queue_that_is_full_takes_nobody() -> None:
    stage = full()
    stage.context.queue_limit = 0

    play(stage, "> request GET / HTTP/1.1\n< client answer 503 ReplicaOverloaded")


async def test_who_waits_for_a_revision_that_leaves_is_routed_anew() -> None:
    stage = full()
    play(stage, WAITING)
    leaving = stage.replicas[0]

    play(stage, "> replica leaves\n< arm connect\n< connect one")

    leaving.leave()
    play(stage, "> client gone\n< cancel one\n= 499")

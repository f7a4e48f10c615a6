"""What an exchange makes of a request and its answer, when nothing goes wrong."""

from __future__ import annotations

import pytest

from tests.support.sides import Stage, play

SCENARIOS = {
    "a request on a new connection": """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 2
        > body ok
        > end
        < client write HTTP/1.1 200 OK length=2 'ok'
        < one release
        < client finished
        = 200
    """,
    "an answer in pieces": """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 4
        > body ab
        > flush
        < client write HTTP/1.1 200 OK length=4 'ab'
        < arm more
        > body cd
        > end
        < client write 'cd'
        < one release
        < client finished
        = 200
    """,
    "the answer to HEAD has the length of another's body": """
        > request HEAD / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin HEAD / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 700
        > end
        < client write HTTP/1.1 200 OK length=700
        < one release
        < client finished
        = 200
    """,
    "chunked both ways": """
        > request POST / HTTP/1.1 | Transfer-Encoding: chunked
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 chunked
        < arm body
        < client resume
        > upload abc de
        < one write '5\\r\\nabcde\\r\\n'
        < arm body
        > uploaded
        < one write '0\\r\\n\\r\\n'
        < arm response
        > head 200 OK | Transfer-Encoding: chunked
        > body fgh
        > flush
        < client write HTTP/1.1 200 OK chunked '3\\r\\nfgh\\r\\n'
        < arm more
        > end
        < client write '0\\r\\n\\r\\n'
        < one release
        < client finished
        = 200
    """,
    "an answer without end becomes chunks, and its connection is spent": """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK
        > body abc
        > end closing
        < client write HTTP/1.1 200 OK chunked '3\\r\\nabc\\r\\n0\\r\\n\\r\\n'
        < one close
        < client finished
        = 200
    """,
    "to HTTP/1.0 it is the connection that ends": """
        > request GET / HTTP/1.0
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Transfer-Encoding: chunked
        > body abc
        > end
        < client write HTTP/1.1 200 OK close 'abc'
        < one release
        < client finished and close
        = 200
    """,
    "a body that comes before the connection goes with the head": """
        > request POST / HTTP/1.1 | Content-Length: 5
        < arm connect
        < connect one
        > upload abc
        > upload de
        > uploaded
        > connected
        < one begin POST / HTTP/1.1 length=5 'abcde'
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < one release
        < client finished
        = 204
    """,
    "100-continue, and then the body": """
        > request POST / HTTP/1.1 | Content-Length: 3 | Expect: 100-continue
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=3
        < arm body
        < client resume
        > head 100 Continue
        < client write HTTP/1.1 100 Continue
        > upload abc
        < one write 'abc'
        < arm body
        > uploaded
        < arm response
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK length=0
        < one release
        < client finished
        = 200
    """,
    "a withheld body that is not asked for: nothing behind it is read": """
        > request POST / HTTP/1.1 | Content-Length: 3 | Expect: 100-continue
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=3
        < arm body
        < client resume
        > head 417 Expectation Failed | Content-Length: 0
        > end
        < client write HTTP/1.1 417 Expectation Failed close length=0
        < one close
        < client finished and close
        = 417
    """,
    "a withheld body that comes all the same is a body": """
        > request POST / HTTP/1.1 | Content-Length: 3 | Expect: 100-continue
        < arm connect
        < connect one
        > upload abc
        > uploaded
        > connected
        < one begin POST / HTTP/1.1 length=3 'abc'
        < arm response
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK length=0
        < one release
        < client finished
        = 200
    """,
    "an early answer: the replica does not want the rest": """
        > request POST / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=9
        < arm body
        < client resume
        > upload abc
        < one write 'abc'
        < arm body
        > head 413 Content Too Large | Content-Length: 0
        > end
        < client write HTTP/1.1 413 Content Too Large length=0
        < one close
        < client finished
        = 413
    """,
    "early hints are passed on, but not to HTTP/1.0": """
        > request GET / HTTP/1.0 | Connection: keep-alive
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 103 Early Hints
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK keep-alive length=0
        < one release
        < client finished
        = 200
    """,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_answer_goes_as_its_transcript_says(name: str) -> None:
    play(Stage(), SCENARIOS[name])


async def test_an_idle_connection_is_used_at_once() -> None:
    stage = Stage(replicas=1)

    play(
        stage,
        """
        > idle
        > request GET / HTTP/1.1
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK length=0
        < one release
        < client finished
        = 200
        """,
    )


async def test_a_draining_worker_ends_the_connection_with_the_answer() -> None:
    stage = Stage()
    stage.context.is_draining = True

    play(
        stage,
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK close length=0
        < one release
        < client finished and close
        = 200
        """,
    )


# --- back-pressure


async def test_who_is_faster_is_held_back_by_the_other() -> None:
    play(
        Stage(),
        """
        > request POST / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > connected
        < one begin POST / HTTP/1.1 length=9
        < arm body
        < client resume
        > replica full
        < client hold
        > replica takes more
        < client resume
        > upload abcdefghi
        < one write 'abcdefghi'
        < arm body
        > uploaded
        < arm response
        > head 200 OK | Content-Length: 2
        > body a
        > flush
        < client write HTTP/1.1 200 OK length=2 'a'
        < arm more
        > client blocked
        < one hold
        > client reads
        < one resume
        < arm more
        > body b
        > end
        < client write 'b'
        < one release
        < client finished
        = 200
        """,
    )


async def test_a_long_body_waits_for_its_connection_and_goes_on_then() -> None:
    play(
        Stage(replay_bytes=4),
        """
        > request PUT / HTTP/1.1 | Content-Length: 9
        < arm connect
        < connect one
        > upload abc
        > upload def
        < client hold
        > connected
        < one begin PUT / HTTP/1.1 length=9 'abcdef'
        < arm body
        < client resume
        > upload ghi
        < one write 'ghi'
        < arm body
        > uploaded
        < arm response
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK length=0
        < one release
        < client finished
        = 200
        """,
    )


async def test_a_client_that_is_still_blocked_by_the_answer_before_gets_no_more() -> None:
    play(
        Stage(),
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > client blocked
        > connected
        < one begin GET / HTTP/1.1
        < one hold
        < arm response
        > client reads
        < one resume
        < arm response
        > head 204 No Content
        > end
        < client write HTTP/1.1 204 No Content
        < one release
        < client finished
        = 204
        """,
    )


async def test_a_delayed_request_of_a_blocked_client_is_not_timed_as_a_connect() -> None:
    """A client that read again made the limit of its delay that of a connect."""
    stage = Stage()
    stage.fault(delay_ms=60_000)

    play(
        stage,
        """
        > request GET / HTTP/1.1
        < arm 65
        > client blocked
        > client reads
        < arm 65
        > delay over
        < arm connect
        < connect one
        > client gone
        < cancel one
        = 499
        """,
    )


# --- tunnels


UPGRADE = """
    > request GET /socket HTTP/1.1 | Connection: Upgrade | Upgrade: websocket
    < arm connect
    < connect one
    > connected
    < one begin GET /socket HTTP/1.1 Upgrade
    < arm response
"""


@pytest.mark.parametrize(("end", "counted"), [("ends", "101"), ("stalled", "101 TunnelStalled")])
async def test_an_upgrade_hands_both_connections_to_a_tunnel(end: str, counted: str) -> None:
    play(
        Stage(),
        f"""
        {UPGRADE}
        > head 101 Switching Protocols | Connection: upgrade | Upgrade: websocket
        < client tunnel HTTP/1.1 101 Switching Protocols Upgrade rest
        < one detach
        > tunnel {end}
        = {counted}
        """,
    )


async def test_an_upgrade_that_is_declined_is_an_answer_like_any_other() -> None:
    play(
        Stage(),
        f"""
        {UPGRADE}
        > head 200 OK | Content-Length: 0
        > end
        < client write HTTP/1.1 200 OK length=0
        < one release
        < client finished
        = 200
        """,
    )


async def test_a_101_that_nobody_asked_for_is_no_answer() -> None:
    play(
        Stage(),
        """
        > request GET / HTTP/1.1
        < arm connect
        < connect one
        > connected
        < one begin GET / HTTP/1.1
        < arm response
        > head 101 Switching Protocols | Connection: upgrade | Upgrade: websocket
        < one close
        < client answer 502 UpstreamProtocolError
        = 502 UpstreamProtocolError
        """,
    )

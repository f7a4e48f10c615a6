"""The well-behaved clients of the abuse suite notice what they are there to notice."""

from __future__ import annotations

from tests.soak.abuse import Kill
from tests.support.abuse.innocents import Innocent, Traffic
from tests.support.abuse.tally import Loss, Tally
from tests.support.origin import Connection, Origin, Script


async def answered_by(script: Script | bytes) -> Tally:
    """What two requests on one connection see of a replica that follows a script."""
    tally = Tally()
    async with Origin(script) as origin:
        traffic = Traffic(int(origin.address.rpartition(":")[2]))
        client = Innocent(traffic, "good.localhost", tally)
        await client.ask("small", "one")
        await client.ask("small", "two")
        client.close()
    return tally


def answer(token: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Token: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (token, len(token) + 1) + token + b"\n"


async def test_the_right_answers_are_neither_lost_nor_foreign() -> None:
    async def well(c: Connection) -> None:
        for token in (b"one", b"two"):
            await c.head()
            await c.send(answer(token))

    tally = await answered_by(well)

    assert (tally.sent, tally.losses, tally.foreign_bytes) == (2, [], 0)
    assert len(tally.waits_ms) == 2


async def test_the_answer_of_another_request_is_foreign() -> None:
    tally = await answered_by(answer(b"one"))

    assert [loss.why for loss in tally.losses] == ["another answer"]
    assert tally.foreign_bytes == len(b"one\n")


async def test_bytes_that_nobody_asked_for_are_foreign() -> None:
    async def says_more(c: Connection) -> None:
        await c.head()
        await c.send(answer(b"one") + b'{"time": "2026-11-24"}\n')
        await c.reader.read()

    assert (await answered_by(says_more)).foreign_bytes > 0


async def test_an_answer_that_is_cut_is_lost() -> None:
    async def cuts(c: Connection) -> None:
        await c.head()
        await c.send(answer(b"one")[:-2])

    tally = await answered_by(cuts)

    assert len(tally.losses) == 2
    assert tally.losses[0].why.startswith("IncompleteReadError")


def test_a_kill_explains_only_what_was_in_flight_on_its_own_connections() -> None:
    kill = Kill(at=10.0, gone_at=10.2, client_ports={5000})

    assert kill.explains(Loss(9.9, 10.1, 5000, ""))
    assert kill.explains(Loss(10.1, 10.2, 5000, "")), "it had not gone yet"
    assert not kill.explains(Loss(9.9, 10.1, 5001, "")), "another worker's connection"
    assert not kill.explains(Loss(8.0, 9.0, 5000, "")), "lost before"
    assert not kill.explains(Loss(11.0, 12.0, 5000, "")), "asked afterwards"

"""The file behind the access log: rotated, taken away, full. It costs lines and nothing else."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.contract import outcomes
from router.forwarding import log_file
from router.forwarding.access_log import AccessLog
from tests.support.edges import eventually


class Log:
    """An access log whose lines are told apart by their client."""

    def __init__(self, target: object) -> None:
        self.log = AccessLog(str(target), min_status=0, min_s=0.0)

    def say(self, client: str) -> None:
        self.log.add_unreadable(client, outcomes.HOST_NOT_FOUND)
        self.log.flush()

    async def dropped(self, lines: int) -> None:
        """Wait until so many lines in all were given up."""

        def has_dropped() -> bool:
            self.log.flush()
            return self.log.dropped >= lines

        await eventually(has_dropped)
        assert self.log.dropped == lines

    async def writes_again(self, target: Path) -> None:
        """Offer lines until one arrives."""
        ends_at = time.monotonic() + 10

        def arrived() -> bool:
            assert time.monotonic() < ends_at, "nothing was written"
            self.say("back")
            return target.is_file() and '"back"' in target.read_text()

        await eventually(arrived)


@pytest.fixture(autouse=True)
def tries_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "_REOPEN_S", 0.05)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "logs"
    directory.mkdir()
    return directory


@pytest.fixture
def sockets() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Filled by a test; they must be open, and unwritten, when it is over."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    yield pairs
    harmed = [found for pair in pairs for found in (received(pair[0]), received(pair[1])) if found]
    for one in (one for pair in pairs for one in pair):
        with contextlib.suppress(OSError):
            one.close()
    assert not harmed


def received(one: socket.socket) -> str:
    """What was done to a socket that nobody wrote to; nothing, if all is well."""
    one.setblocking(False)
    try:
        return f"it received {one.recv(100)!r}"
    except BlockingIOError:
        return ""
    except OSError as error:
        return str(error)


def fill(sockets: list[tuple[socket.socket, socket.socket]]) -> None:
    """Take the lowest free descriptors, as the connections of a busy worker do."""
    sockets += [socket.socketpair() for _ in range(8)]


async def test_a_log_whose_directory_is_gone_leaves_every_other_descriptor_alone(
    place: Path, sockets: list[tuple[socket.socket, socket.socket]]
) -> None:
    log = Log(place / "access.log")
    log.say("first")
    await eventually(lambda: (place / "access.log").read_text())
    gone = place.rename(place.with_name("logs.old"))

    for number in range(1, 6):
        log.say("lost")
        await log.dropped(number)
        fill(sockets)

    gone.rename(place)
    await log.writes_again(place / "access.log")
    log.log.close()
    assert '"first"' in (place / "access.log").read_text()
    assert '"lost"' not in (place / "access.log").read_text()


async def a_file(target: Path) -> None:
    target.parent.rmdir()
    target.parent.write_text("not a directory")


async def a_loop(target: Path) -> None:
    target.symlink_to(target)


async def a_directory(target: Path) -> None:
    target.mkdir()


@pytest.mark.parametrize("becomes", [a_file, a_loop, a_directory])
async def test_a_log_that_cannot_be_opened_drops_until_it_can(
    place: Path, sockets: list[tuple[socket.socket, socket.socket]], becomes: object
) -> None:
    target = place / "access.log"
    log = Log(target)
    log.say("first")
    await eventually(lambda: target.read_text())
    target.rename(place.with_name("rotated"))
    await becomes(target)  # type: ignore[operator]

    log.say("lost")
    await log.dropped(1)
    fill(sockets)
    log.say("lost")
    await log.dropped(2)

    if place.is_file():
        place.unlink()
        place.mkdir()
    elif target.is_symlink():
        target.unlink()
    else:
        target.rmdir()
    await log.writes_again(target)
    log.log.close()
    assert '"lost"' not in target.read_text()


async def test_a_log_that_cannot_be_opened_at_first_is_opened_later(place: Path) -> None:
    place.rmdir()
    log = Log(place / "access.log")
    log.say("lost")
    await log.dropped(1)
    place.mkdir()
    await log.writes_again(place / "access.log")
    log.log.close()


async def test_a_file_that_became_a_link_is_followed_to_where_it_leads(place: Path) -> None:
    target, elsewhere = place / "access.log", place / "elsewhere.log"
    log = Log(target)
    log.say("before")
    await eventually(lambda: target.read_text())
    target.unlink()
    target.symlink_to(elsewhere)
    log.say("after")
    log.log.close()
    assert '"after"' in elsewhere.read_text()
    assert '"before"' not in elsewhere.read_text()


async def test_a_fifo_without_a_reader_holds_nobody_up_and_serves_the_next_reader(
    place: Path,
) -> None:
    target = place / "access.log"
    os.mkfifo(target)
    log = Log(target)  # nobody reads it: opening it as usual would wait for somebody
    log.say("lost")
    await log.dropped(1)
    for _ in range(2):  # the second time, its reader went away and another came
        reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
        got = b""

        def has_read() -> bool:
            nonlocal got
            log.say("read")
            with contextlib.suppress(BlockingIOError):
                got += os.read(reader, 65536)  # noqa: B023 - called before the next round
            return b'"read"' in got

        await eventually(has_read)
        os.close(reader)
        before = log.log.dropped

        def has_dropped() -> bool:
            log.say("nobody")
            return log.log.dropped > before  # noqa: B023

        await eventually(has_dropped)
    log.log.close()


async def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    log = Log("/dev/full")
    for number in (1, 2, 3):
        log.say("lost")
        await log.dropped(number)
    log.log.close()

"""A name that resolves slowly, or never, is the affair of its own app."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from router.process.names import Names


class Resolver:
    """In place of the system's: names under .slow wait until they are released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def getaddrinfo(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        if host.endswith(".slow"):
            assert self.release.wait(60)
        if host.endswith(".nowhere"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.release.set()


async def given_up(*tasks: asyncio.Task[list[str]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slow_names_of_one_app_hold_up_no_other(resolver: Resolver) -> None:
    names = Names()
    slow = [asyncio.create_task(names.addresses(f"x{n}.slow", "slow")) for n in range(40)]
    await asyncio.sleep(0)
    assert await names.addresses("quick.example", "shop") == ["10.0.0.1"]
    await given_up(*slow[:20])  # their threads are still taken
    for n in range(10):
        assert await names.addresses(f"quick{n}.example", "shop") == ["10.0.0.1"]
    assert sum(host.endswith(".slow") for host in resolver.asked) == 8

    resolver.release.set()
    assert await asyncio.gather(*slow[20:]) == [["10.0.0.1"]] * 20
    # Those that nobody waited for any more, and that had no thread yet, were never looked up.
    assert sum(host.endswith(".slow") for host in resolver.asked) == 28


async def test_a_name_is_looked_up_once_for_all_who_ask_meanwhile(resolver: Resolver) -> None:
    names = Names()
    asking = [asyncio.create_task(names.addresses("a.slow", "shop")) for _ in range(5)]
    await asyncio.sleep(0)
    await given_up(asking.pop(0))
    resolver.release.set()
    assert await asyncio.gather(*asking) == [["10.0.0.1"]] * 4
    assert resolver.asked == ["a.slow"]
    await names.addresses("a.slow", "shop")  # by then it may lead elsewhere
    assert resolver.asked == ["a.slow"] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "LocalHost"])
async def test_an_address_and_localhost_are_not_looked_up(resolver: Resolver, host: str) -> None:
    found = await Names().addresses(host, "shop")
    assert found == ([host] if host[0] in "1:" else ["127.0.0.1", "::1"])
    assert resolver.asked == []


async def test_a_name_that_nobody_knows_is_an_error_for_all_who_ask(resolver: Resolver) -> None:
    names = Names()
    asking = [names.addresses("a.nowhere", "shop") for _ in range(3)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [socket.gaierror] * 3
    assert resolver.asked == ["a.nowhere"]


async def test_a_look_up_that_gets_no_thread_is_an_error(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = Names()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="no thread"):
            await names.addresses("a.example", "shop")
    assert await names.addresses("a.example", "shop") == ["10.0.0.1"]

"""Things that are due: in time, and none in the way of another."""

from __future__ import annotations

import asyncio

import pytest

from control.probes.wheel import Wheel
from control.reconcile.alarms import Alarms


async def test_nothing_is_called_early_and_one_that_raises_hinders_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, wheel, seen = asyncio.get_running_loop(), Wheel(), []
    all_seen = asyncio.Event()

    def note(when: float) -> None:
        seen.append((when, loop.time()))
        if len(seen) == 301:
            all_seen.set()

    now = loop.time()
    for n in range(300):
        when = now + (n * 7 % 10) / 100
        wheel.at(when, lambda when=when: note(when))  # type: ignore[misc]
        if n % 50 == 0:
            wheel.at(when, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    wheel.at(now, lambda: wheel.at(now + 0.01, lambda: note(now)))  # from within a turn
    async with asyncio.timeout(10):
        await all_seen.wait()
    wheel.close()

    assert all(at >= when for when, at in seen)
    assert caplog.text.count("event=callback_failed") == 6


def test_alarms_know_only_the_last_moment_of_a_name() -> None:
    alarms = Alarms()
    for name, at in [("a", 5.0), ("b", 3.0), ("a", 9.0), ("c", 4.0), ("c", float("inf"))]:
        alarms.put(name, at)

    assert alarms.next() == 3.0
    assert alarms.due(8.0) == {"b"}
    assert alarms.next() == 9.0
    assert alarms.due(9.0) == {"a"}
    assert alarms.next() == float("inf")


def test_alarms_that_are_put_again_and_again_take_no_room() -> None:
    alarms = Alarms()
    for n in range(10_000):
        alarms.put("a", float(n))

    assert len(alarms._order) < 200
    assert alarms.due(1e9) == {"a"}

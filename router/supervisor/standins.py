"""Who accepts for a slot without a serving worker, and when a dead worker is restarted. Pure.

Every slot has a listening socket, and the kernel gives it its share of new connections whatever its
worker does. So the socket of a slot without a serving worker is given to a worker that serves: two
workers accepting on one socket do no harm, no worker does.
"""

from __future__ import annotations

from collections.abc import Sequence

QUIET_S = 1.5  # workers report every second; after this long without a report, others accept
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_MOST_DOUBLINGS = 10


def pause_s(deaths: int) -> float:
    """Seconds before a worker that died `deaths` times in a row is started again.

    Zero after the first death, so that an accident costs no time; then longer each time, because a
    worker that cannot start would take the processor from those that serve.
    """
    if deaths < 2:
        return 0.0
    doublings = min(deaths - 2, _MOST_DOUBLINGS)
    return min(_FIRST_PAUSE_S * 2.0**doublings, _LONGEST_PAUSE_S)


def stand_ins(serving: Sequence[int], absent: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The absent slots that each serving slot accepts for, shared out evenly."""
    taken: dict[int, list[int]] = {slot: [] for slot in serving}
    for n, slot in enumerate(absent if serving else ()):
        taken[serving[n % len(serving)]].append(slot)
    return {slot: tuple(others) for slot, others in taken.items()}

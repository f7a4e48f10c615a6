"""Who accepts for a worker that does not, and when a dead worker is started again. Pure.

Every slot has a listening socket of its own, and the kernel gives it its share of the new
connections whatever its worker does. So a slot without a worker that serves is handed to one that
does: two that accept on one socket are harmless, nobody is not.
"""

from __future__ import annotations

from collections.abc import Sequence

QUIET_S = 1.5  # a worker reports every second: one and a half without a word, and others accept
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_MOST_DOUBLINGS = 10


def pause_s(deaths: int) -> float:
    """Seconds before a worker that died `deaths` times in a row is started again.

    None after the first, so that an accident costs no time; then longer each time, because a
    worker that cannot start would otherwise take the processor from those that serve.
    """
    if deaths < 2:
        return 0.0
    doublings = min(deaths - 2, _MOST_DOUBLINGS)
    return min(_FIRST_PAUSE_S * 2.0**doublings, _LONGEST_PAUSE_S)


def stand_ins(serving: Sequence[int], absent: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """For each slot that serves, the absent ones that it accepts for, shared out evenly."""
    taken: dict[int, list[int]] = {slot: [] for slot in serving}
    for n, slot in enumerate(absent if serving else ()):
        taken[serving[n % len(serving)]].append(slot)
    return {slot: tuple(others) for slot, others in taken.items()}

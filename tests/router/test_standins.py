from __future__ import annotations

import pytest

from router.supervisor.standins import pause_s, stand_ins


@pytest.mark.parametrize(
    ("deaths", "seconds"),
    [(0, 0.0), (1, 0.0), (2, 0.5), (3, 1.0), (4, 2.0), (6, 8.0), (7, 8.0), (100_000, 8.0)],
)
def test_the_pause_grows_with_each_death_in_a_row(deaths: int, seconds: float) -> None:
    assert pause_s(deaths) == seconds


@pytest.mark.parametrize(
    ("serving", "absent", "taken"),
    [
        ([0, 1], [], {0: (), 1: ()}),
        ([0], [1], {0: (1,)}),
        ([1], [0], {1: (0,)}),
        ([], [0, 1], {}),
        ([0, 2], [1, 3], {0: (1,), 2: (3,)}),
        ([0, 1, 2], [3, 4, 5], {0: (3,), 1: (4,), 2: (5,)}),
        ([3], [0, 1, 2], {3: (0, 1, 2)}),
    ],
)
def test_every_absent_slot_has_one_stand_in(
    serving: list[int], absent: list[int], taken: dict[int, tuple[int, ...]]
) -> None:
    assert stand_ins(serving, absent) == taken

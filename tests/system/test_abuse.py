"""The soak's short form: every abuser at once, and innocents that must not notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.abuse import soak

pytestmark = pytest.mark.system

_SECONDS = 20.0
_MOST_MIB = 128.0
_LONGEST_WAIT_MS = 10_000.0


async def test_abusers_reloads_kills_and_an_upgrade_cost_innocents_nothing(state: Path) -> None:
    outcome = await soak(_SECONDS)

    assert outcome.kills, str(outcome)
    assert outcome.upgrades, str(outcome)
    assert outcome.tally.sent > 500, str(outcome)
    assert not outcome.lost, str(outcome)
    assert outcome.tally.foreign_bytes == 0, str(outcome)
    assert not outcome.errors, str(outcome)
    assert outcome.peak_mib < _MOST_MIB, str(outcome)
    assert outcome.worst_ms(is_in_peace=True) < _LONGEST_WAIT_MS, str(outcome)

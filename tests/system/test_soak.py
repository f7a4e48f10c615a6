"""The short form of the control plane's soak: each trouble once, under traffic and changes."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.soak.control import soak

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
        reason="a small disk and a resolver need mounts",
    ),
]

_SECONDS = 20.0


def test_troubles_cost_no_acknowledged_write_and_no_request_of_an_innocent(state: Path) -> None:
    outcome = soak(state, _SECONDS, seed=random.randrange(1 << 30))

    assert outcome.held, str(outcome)
    assert outcome.tally.sent > 500, str(outcome)
    assert outcome.acknowledged > 20, str(outcome)
    assert len(outcome.troubles) > 2, str(outcome)

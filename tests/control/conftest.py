"""What every test of the control plane starts from."""

from __future__ import annotations

import pytest

from control.history.journal import CALLER


@pytest.fixture(autouse=True)
def nobody_calls() -> None:
    """Tests share a context; the caller of one is none of the next one's."""
    CALLER.set(None)

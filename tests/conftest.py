"""Settings of the whole suite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import settings

# Time limits per example make a loaded machine a flaky one.
settings.register_profile("turnout", deadline=None, max_examples=100)
settings.load_profile("turnout")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that workers run on."""
    return {"uvloop": uvloop.new_event_loop}

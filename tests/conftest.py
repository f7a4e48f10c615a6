"""Settings of the whole suite."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.support import runs

# Time limits per example make a loaded machine a flaky one.
settings.register_profile("turnout", deadline=None, max_examples=100)
settings.load_profile("turnout")


def pytest_sessionstart(session: pytest.Session) -> None:
    """End what an earlier run left because it was killed; no other process is touched."""
    # Tests ask no engine but those that they start: the usual one has strangers' containers.
    os.environ["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    if hasattr(session.config, "workerinput"):
        return  # it is a part of the run that has started it
    if left := runs.end_dead_runs():
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"ended {len(left)} processes of a test run that was killed")
    runs.guard()
    runs.begin()
    runs.unshare_mounts()


class _OneEngine(LoadFileScheduling):
    """A file is run by one process, as its tests may share a server; so are all that use Docker."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "engine" if file.startswith("tests/docker/") else file


@pytest.hookimpl(optionalhook=True)  # a run may be without workers
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Only where files matter: the quick part is handed out test by test."""
    return _OneEngine(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage: the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that workers run on."""
    return {"uvloop": uvloop.new_event_loop}

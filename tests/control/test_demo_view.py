"""The demo's display: the split that it shows is what happens now."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from control.cli.commands.demo import Demo


def shown(demo: Demo, width: int = 140) -> str:
    console = Console(width=width, record=True, quiet=True)
    with console.capture() as said:
        console.quiet = False
        console.print(demo._view())
    return said.get()


def test_the_split_is_of_the_last_seconds(tmp_path: Path) -> None:
    launcher: Any = SimpleNamespace(admin="127.0.0.1:1", state=tmp_path)
    demo = Demo(launcher, cast(Any, None))
    demo._revisions = [
        {"name": f"album-api--{suffix}", "active": True, "labels": [], "trafficWeight": 50,
         "replicas": 1, "runningState": "Running"}
        for suffix in ("v1", "v2")
    ]  # fmt: skip
    long_ago = time.monotonic() - 3600
    demo._seen.extend([(long_ago, "album-api--v1")] * 900)
    for _ in range(3):
        demo._note("album-api--v2")
    view = shown(demo)
    assert "Last 10 s" in view
    (old,) = (line for line in view.splitlines() if "--v1" in line)
    (new,) = (line for line in view.splitlines() if "--v2" in line)
    assert "0.0%" in old
    assert "100.0%" in new


def test_a_terminal_of_80_columns_shows_names_whole(tmp_path: Path) -> None:
    launcher: Any = SimpleNamespace(admin="127.0.0.1:1", state=tmp_path)
    demo = Demo(launcher, cast(Any, None))
    demo._revisions = [
        {"name": "album-api--v2", "active": True, "labels": ["staging"], "trafficWeight": 100,
         "replicas": 2, "runningState": "RunningAtMaxScale"}
    ]  # fmt: skip
    (line,) = (line for line in shown(demo, 80).splitlines() if "album-api--v2" in line)
    assert "staging" in line
    assert "100 %" in line
    assert "Running" in line

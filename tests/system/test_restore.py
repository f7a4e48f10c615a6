"""A backup that is made while everything runs, and a restore that routers take."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.support.plane import Plane
from tests.support.turnout import marked, run, until


def test_a_restore_is_taken_by_routers_that_had_newer_tables(state: Path) -> None:
    plane, folder, copy = Plane(state), str(state / "s"), state / "copy"
    try:
        plane.deploy("shop", "v1")
        made = run("backup", str(copy), "--state", folder)
        assert made.returncode == 0, made.stderr
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        for suffix in ("v2", "v3"):
            plane.deploy("shop", suffix)
        refused = run("restore", str(copy), "--state", folder)
        assert (refused.returncode, "stop it before" in refused.stderr) == (1, True)

        assert plane.control.stop() == 0
        restored = run("restore", str(copy), "--state", folder)
        assert restored.returncode == 0, restored.stderr
        plane.restart()
        until(lambda: plane.answers("shop") == "shop--v1")
        plane.deploy("shop", "v2b")

        plane.control.must("DELETE", "/v1/apps/shop")
        until(lambda: not marked(state, also=b"TURNOUT_REPLICA="))
    finally:
        plane.router.stop()
        plane.control.stop()

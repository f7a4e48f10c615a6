"""Nobody but its owner reads what turnout keeps: secrets, tables, keys, the output of replicas."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from tests.support.turnout import TURNOUT, Turnout, provisioned, run, template, until


class Generous(Turnout):
    """Started by somebody whose new files may be read and written by all."""

    def _command(self) -> list[str]:
        return ["sh", "-c", f"umask 0; exec {shlex.join([*TURNOUT, *self.args])}"]


def open_to_others(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder.parent)} {stat.filemode(path.lstat().st_mode)}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]


def test_nothing_in_the_state_directory_is_open_to_others(state: Path) -> None:
    folder = state / "s"
    flags = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", str(folder))
    with Generous("up", *flags, "--azure-port", "0", workers=1) as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", "/v1/apps/shop", body)
        provisioned(up, "shop--v1")
        until(lambda: (folder / "router" / "table.json").exists())
        until(lambda: (folder / "router" / "supervisor.json").exists())
        assert run("azure-env", "--no-register", "--state", str(folder)).returncode == 0
        names = {path.name for path in folder.rglob("*")}
        assert {"control.db", "up.lock", "ca.key", "endpoint", "sync.sock"} <= names
        assert any(name.endswith(".log") for name in names)
        assert open_to_others(folder) == []

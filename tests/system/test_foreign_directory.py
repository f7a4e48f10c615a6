"""Started in a directory with files of other people: none of them is run in place of our code."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from control.up import launcher
from tests.support.turnout import (
    Turnout,
    children,
    provisioned,
    template,
    until,
)

# As the installed `turnout` command: its own directory is on the path, the working directory is not
INSTALLED = [sys.executable, "-P", "-c", "from control.cli.main import app; app()"]
ADDRESSES = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
TRAP = """
import pathlib, sys
pathlib.Path({caught!r}).write_text(__name__)
sys.exit(0)
"""


class Installed(Turnout):
    def _command(self) -> list[str]:
        return [*INSTALLED, *self.args]


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A directory in which every module of ours seems to lie."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    for name in ("router", "control", "aiohttp", "uvloop"):
        caught = str(tmp_path / "caught")
        (folder / f"{name}.py").write_text(TRAP.format(caught=caught))
    return folder


def test_up_and_its_replicas_run_our_code(state: Path, trapped: Path) -> None:
    flags = (*ADDRESSES, "--state", str(state / "s"))
    with Installed("up", *flags, cwd=trapped, workers=1) as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", "/v1/apps/shop", body)
        provisioned(up, "shop--v1")
        until(lambda: up.get("shop.localhost")[0] == 200)
        assert up.stop() == 0
    assert not (state / "caught").exists()


def test_a_command_of_a_replica_still_finds_its_own_directory(state: Path, trapped: Path) -> None:
    (trapped / "shopapp.py").write_text("from control import demo_app; demo_app.main()")
    (trapped / "control.py").unlink()
    (trapped / "control").mkdir()
    (trapped / "control" / "demo_app.py").write_text(
        "import http.server, os\n"
        "def main():\n"
        "    class Own(http.server.BaseHTTPRequestHandler):\n"
        "        def do_GET(self):\n"
        "            self.send_response(200)\n"
        "            self.send_header('Content-Length', '3')\n"
        "            self.end_headers()\n"
        "            self.wfile.write(b'own')\n"
        "    http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Own).serve_forever()\n"
    )
    flags = (*ADDRESSES, "--state", str(state / "s"))
    with Installed("up", *flags, cwd=trapped, workers=1) as up:
        shape = template("v1")
        shape["containers"][0] |= {
            "image": "process:", "command": [sys.executable, "-m", "shopapp"],
        }  # fmt: skip
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": shape}
        up.must("PUT", "/v1/apps/shop", body)
        provisioned(up, "shop--v1")
        until(lambda: up.get("shop.localhost")[2] == "own")
        assert up.stop() == 0


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false"])
async def test_a_part_that_ends_before_it_is_ready_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)

    async def never(*_: object) -> None:
        raise AssertionError("it was taken for ready")

    assert await launcher.run({}, tmp_path / "s", never) == 1
    said = capfd.readouterr().err
    assert "turnout: " in said
    assert "ended before it was ready" in said


def test_a_killed_part_is_a_failure_with_a_sentence(state: Path) -> None:
    up = Turnout("up", *ADDRESSES, state=state / "s")

    def kill_the_first() -> None:
        first = until(lambda: children(up.process.pid))[0]
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)

    thread = Thread(target=kill_the_first)
    thread.start()
    _, said = up.process.communicate(timeout=60)
    thread.join()
    assert up.process.returncode == 1
    assert b"ended before it was ready (exit code -9)" in said

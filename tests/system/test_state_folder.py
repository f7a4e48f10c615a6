"""A state directory that cannot be used: a sentence and exit code 2, or going on without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.turnout import Turnout, run

PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


@pytest.fixture(params=["file", "below-a-file", "proc"])
def useless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path where nobody, not even root, can make a directory."""
    file = tmp_path / "file"
    file.write_text("")
    return {"file": file, "below-a-file": file / "s", "proc": Path("/proc/turnout")}[request.param]


@pytest.mark.parametrize("command", [("control", *PORTS[2:]), ("up", *PORTS), ("demo", *PORTS)])
def test_a_server_that_needs_it_says_so_and_exits_2(
    command: tuple[str, ...], useless: Path
) -> None:
    done = run(*command, "--state", str(useless))
    assert done.returncode == 2
    assert f"state: {useless} cannot be written" in done.stderr
    assert "give another --state" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_router_goes_on_without_it(useless: Path, state: Path) -> None:
    with (
        Turnout("control", admin="127.0.0.1:0", state=state / "s") as control,
        Turnout(
            "router", *PORTS, "--control", control.server, state=useless, token=control.token
        ) as router,
    ):
        assert router.get("nobody.localhost")[0] == 404
    assert "Traceback" not in router.stderr.decode()

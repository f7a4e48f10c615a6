"""What a command loads before it does anything: that is what a user waits for each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.turnout import environment

pytestmark = pytest.mark.system  # a process each

# None of these is needed to print help or to ask a control plane for something.
HEAVY = (
    "aiohttp", "aiodocker", "asyncio", "cryptography", "orjson", "prometheus_client", "sqlite3",
    "pydantic", "uvloop", "yaml", "control.up.launcher", "control.model.kinds",
    "control.settings",
    "control.model.template", "router.contract.settings", "router.routing.table",
)  # fmt: skip
# Settings name the token's place, so a call reads them.
READ_BY_A_CALL = ("control.settings", "router.contract.settings")
SCRIPT = """
import sys
from control.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print("\\n".join(sys.modules), file=sys.stderr)
"""


def loaded(*args: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    env = environment(server="http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *args], env=env, capture_output=True, text=True, check=True
    )
    found = set(done.stderr.splitlines())
    assert "control.cli.main" in found
    return found


@pytest.mark.parametrize("args", [["--help"], ["version"], ["traffic", "set", "-h"], ["revison"]])
def test_help_loads_no_server(args: list[str]) -> None:
    assert not loaded(*args) & {*HEAVY}


def test_a_call_loads_no_server_either() -> None:
    found = loaded("app", "list")
    assert "http.client" in found  # it did try to call
    assert not found & {*HEAVY} - {*READ_BY_A_CALL}

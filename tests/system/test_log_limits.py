"""The access log at the limits of its process: no descriptors, no permission, no room, no stdout.

Each case is a process of its own, as its limits must not be ours. It checks that no socket was
closed or written to while the log had nowhere to write.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, environment, until
from tests.system.test_router_alone import a_replica, metric, text

PRELUDE = """
import json, os, resource, socket, sys, time
from pathlib import Path
from router.contract.outcomes import HOST_NOT_FOUND
from router.forwarding.access_log import AccessLog

target = Path(sys.argv[1])
pairs = []

def fill(most):
    try:
        while len(pairs) < most:
            pairs.append(socket.socketpair())
    except OSError:
        pass

def unharmed():
    for one in (one for pair in pairs for one in pair):
        one.setblocking(False)
        try:
            raise AssertionError(f"a socket received {one.recv(100)!r}")
        except BlockingIOError:
            pass

def say(client):
    log.add_unreadable(client, HOST_NOT_FOUND)
    log.flush()

def until(what):
    ends_at = time.monotonic() + 20
    while not what():
        assert time.monotonic() < ends_at
        time.sleep(0.01)
        log.flush()

def lines(client):
    try:
        return target.read_text().count(f'"{client}"')
    except OSError:
        return 0

def loses(client):
    before = log.dropped
    say(client)
    until(lambda: log.dropped == before + 1)
    unharmed()

def is_json(line):
    try:
        return bool(json.loads(line))
    except ValueError:
        return False

def recovers():
    until(lambda: say("back") or lines("back"))
    unharmed()
    log.close()

"""
CASES = {
    "no descriptor is left": """
log = AccessLog(str(target), min_status=0, min_s=0.0)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
say("first")
until(lambda: lines("first"))
target.rename(target.with_name("rotated"))
spare = socket.socketpair()
fill(1000)
for _ in range(3):
    loses("lost")
    fill(1000)  # takes what the log gave up
for one in spare:
    one.close()
recovers()
""",
    "its directory may not be entered": """
log = AccessLog(str(target), min_status=0, min_s=0.0)
say("first")
until(lambda: lines("first"))
if os.geteuid():
    target.parent.chmod(0)
else:
    os.seteuid(65534)
loses("lost")
fill(20)
loses("lost")
os.seteuid(os.getuid())
target.parent.chmod(0o755)
recovers()
""",
    "a file may not grow": """
log = AccessLog(str(target), min_status=0, min_s=0.0)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
say("first")
until(lambda: lines("first"))
resource.setrlimit(resource.RLIMIT_FSIZE, (target.stat().st_size + 20, hard))  # not a whole line
fill(20)
loses("torn")
loses("lost")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
recovers()
whole = [line for line in target.read_text().splitlines() if is_json(line)]
assert len(whole) == lines("first") + lines("back"), target.read_text()
""",
    "it was started without stdout": """
fill(20)
log = AccessLog("-", min_status=0, min_s=0.0)
assert 1 in [one.fileno() for pair in pairs for one in pair]
loses("lost")
log.close()
""",
}


@pytest.mark.parametrize("name", CASES)
def test_lines_are_lost_and_counted_and_nothing_else_is_touched(name: str, tmp_path: Path) -> None:
    script = PRELUDE + CASES[name]
    command = [sys.executable, "-c", script, str(tmp_path / "access.log")]
    if "stdout" in name:
        command = ["sh", "-c", f"exec {shlex.join(command)} >&-"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_router_without_stdout_says_that_it_cannot_log_to_it(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text("")
    command = shlex.join([sys.executable, "-m", "router"])
    done = subprocess.run(
        ["sh", "-c", f"exec {command} >&-"],
        env=environment(access_log="-", routes=tmp_path / "routes.toml", state=tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "stdout is closed" in done.stderr) == (1, True), done.stderr


def test_a_router_serves_on_while_its_log_directory_is_gone(state: Path) -> None:
    logs = state / "logs"
    logs.mkdir()
    target = logs / "access.log"
    routes = state / "routes.toml"
    with a_replica("one") as v1:
        routes.write_text(text(v1, v1))
        with Turnout(
            "router", "--routes", str(routes), "--workers", "2",
            "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", state=state,
            access_log=target,
        ) as router:  # fmt: skip

            def asked() -> bool:
                assert router.get("shop.localhost")[2] == "one"
                return target.is_file() and '"status":200' in target.read_text()

            until(asked)
            logs.rename(state / "logs.old")
            until(lambda: asked() or metric(router, "turnout_access_log_dropped_total") > 20)
            logs.mkdir()
            until(asked)

"""A process that overwrites its environment with a title of its own is still the replica's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.support.turnout import Turnout, provisioned, routes, until

# What setproctitle, nginx and PostgreSQL do; without a library, as the kernel has it.
_TITLED = """
import ctypes, http.server, os
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
begin, end = int(fields[45]), int(fields[48])
ctypes.memset(begin, 0, end - begin)
ctypes.memmove(begin, b"titled: master", 14)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def titled() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"titled: master" in path.read_bytes()[:20]:
                found.add(int(path.parent.name))
        except OSError:
            pass  # it has just ended
    return found


def test_it_is_adopted_by_the_next_control_plane_and_ended_with_its_app(state: Path) -> None:
    before = titled()
    flags: dict[str, Any] = {"admin": "127.0.0.1:0", "state": state / "s", "tick_s": 0.2}
    container = {"image": "process:", "command": [sys.executable, "-c", _TITLED]}
    app = {
        "configuration": {"ingress": {"targetPort": 80}},
        "template": {"revisionSuffix": "v1", "containers": [container]},
    }
    try:
        with Turnout("control", **flags) as control:
            control.must("PUT", "/v1/apps/shop", app)
            provisioned(control, "shop--v1")
            first = titled() - before
            assert len(first) == 1
        for _ in range(2):
            with Turnout("control", **flags) as again:
                until(lambda: routes(again) == {"shop": {"shop--v1": 1}})
                assert titled() - before == first
        with Turnout("control", **flags) as last:
            last.must("DELETE", "/v1/apps/shop")
            until(lambda: titled() == before)
    finally:
        for pid in titled() - before:
            os.kill(pid, 9)

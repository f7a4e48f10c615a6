"""Names that resolve slowly cost the app that has them, and hold up no stop."""

from __future__ import annotations

import http.server
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.turnout import Turnout, routes, until

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a resolver of its own needs a mount")

_RESOLVER = "127.0.0.153"
_GET = {"path": "/", "port": 80}
_PROBES = [
    {"type": "Startup", "httpGet": _GET, "periodSeconds": 1, "failureThreshold": 60},
    {"type": "Readiness", "httpGet": _GET, "periodSeconds": 1, "failureThreshold": 3},
]


class Blackholed(Turnout):
    """A server that finds a resolver which never answers, and one name without it."""

    def _command(self) -> list[str]:
        state = self.settings["state"]
        mounts = [f"mount --bind {state}.{file} /etc/{file}" for file in ("resolv.conf", "hosts")]
        script = " && ".join([*mounts, 'exec "$@"'])
        return ["unshare", "-m", "sh", "-c", script, "sh", *super()._command()]


class Well(http.server.BaseHTTPRequestHandler):
    """Always answers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Places(NamedTuple):
    """Where somebody answers, and who never does."""

    well: str  # HOST:PORT of a server, by a name
    resolver: socket.socket

    def heard(self, names: int) -> None:
        """Wait until the resolver has been asked for so many names."""
        found: set[bytes] = set()
        while len(found) < names:
            found.update(re.findall(rb"x[0-9]+", self.resolver.recv(1 << 10)))


@pytest.fixture
def places() -> Iterator[Places]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((_RESOLVER, 53))
        udp.settimeout(30)
        yield Places(f"well.example:{server.server_port}", udp)
    server.shutdown()
    server.server_close()


def an_app(image: str) -> dict[str, Any]:
    template = {"revisionSuffix": "v1", "containers": [{"image": image, "probes": _PROBES}]}
    return {"configuration": {"ingress": {"targetPort": 80}}, "template": template}


def started(kind: str, state: Path, **settings: Any) -> Turnout:
    Path(f"{state}.resolv.conf").write_text(f"nameserver {_RESOLVER}\n")
    Path(f"{state}.hosts").write_text("127.0.0.1 localhost well.example\n")
    return Blackholed(kind, admin="127.0.0.1:0", state=state, **settings).wait_ready()


def test_probes_of_slow_names_hold_up_no_other_app_and_no_stop(state: Path, places: Places) -> None:
    control = started("control", state / "s")
    try:
        control.must("PUT", "/v1/apps/shop", an_app(f"endpoint:{places.well}"))
        until(lambda: routes(control)["shop"] == {"shop--v1": 1})
        names = ",".join(f"x{n}.slow.example:80" for n in range(40))
        control.must("PUT", "/v1/apps/slow", an_app(f"endpoint:{names}"))
        places.heard(8)
        with pytest.raises(AssertionError, match="never true"):
            until(lambda: routes(control)["shop"] != {"shop--v1": 1}, timeout_s=8)
        assert control.stop() == 0  # within what Turnout gives it
    finally:
        if control.process.poll() is None:
            control.kill()


def test_requests_to_slow_names_hold_up_no_other_app(state: Path, places: Places) -> None:
    def app(name: str, endpoint: str) -> str:
        revision = f'name = "{name}--v1"\nweight = 100\nendpoints = ["{endpoint}"]\n'
        return f'[[app]]\nname = "{name}"\n[[app.revision]]\n{revision}'

    file = state / "routes.toml"
    slow = [app(f"slow{n}", f"x{n}.slow.example:80") for n in range(12)]
    file.write_text("\n".join([app("shop", places.well), *slow]))
    router = started("router", state / "r", listen="127.0.0.1:0", routes=file, workers=1)
    asking = [threading.Thread(target=router.get, args=(f"slow{n}.localhost",)) for n in range(12)]
    try:
        for thread in asking:
            thread.start()
        places.heard(4)
        assert [router.get("shop.localhost")[0] for _ in range(5)] == [200] * 5
        for thread in asking:
            thread.join()
        assert router.stop() == 0
    finally:
        if router.process.poll() is None:
            router.kill()

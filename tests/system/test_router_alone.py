"""A router without a control plane, and one whose control plane is gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.turnout import Turnout, children, run, until

asked_slowly = threading.Event()


@contextmanager
def a_replica(name: str) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/slow":
                asked_slowly.set()
                time.sleep(0.5)
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def text(v1: str, v2: str, *, weights: tuple[int, int] = (100, 0)) -> str:
    return f"""
[[app]]
name = "shop"
mode = "multiple"
[[app.revision]]
name = "shop--v1"
weight = {weights[0]}
endpoints = ["{v1}"]
[[app.revision]]
name = "shop--v2"
weight = {weights[1]}
labels = ["staging"]
endpoints = ["{v2}"]
"""


def metric(router: Turnout, line: str) -> float:
    _, body = router.call("GET", "/metrics")
    found = [x for x in body.splitlines() if x.startswith(line)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.fixture
def routed(state: Path) -> Iterator[tuple[Turnout, Path, str, str]]:
    file = state / "routes.toml"
    with a_replica("one") as v1, a_replica("two") as v2:
        file.write_text(text(v1, v2))
        flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        with Turnout("router", *flags, "--workers", "2", "--state", str(state / "s")) as router:
            yield router, file, v1, v2


Routed = tuple[Turnout, Path, str, str]


def test_a_changed_file_is_taken_and_a_bad_one_refused_whole(routed: Routed) -> None:
    router, file, v1, v2 = routed
    assert router.get("shop.localhost")[2] == "one"
    assert router.get("shop---staging.localhost")[2] == "two"

    file.write_text(text(v1, v2, weights=(0, 100)))  # in place
    until(lambda: router.get("shop.localhost")[2] == "two")

    file.write_text(text(v1, v2, weights=(60, 100)))
    # of a file that is written in place, its first instant may be refused as well
    router.read_until(b"event=table_refused.*(line 2: revisions|the weights sum to 160)")
    assert router.get("shop.localhost")[2] == "two"
    until(lambda: metric(router, 'turnout_table_reloads_total{result="failure"}') >= 1)

    beside = file.with_name("new.toml")
    beside.write_text(text(v1, v2))
    beside.replace(file)  # by rename
    until(lambda: router.get("shop.localhost")[2] == "one")


def test_sighup_reads_the_file_again(routed: Routed) -> None:
    router, _, _, _ = routed
    before = router.must("GET", "/table")["version"]

    router.process.send_signal(signal.SIGHUP)

    until(lambda: router.must("GET", "/table")["version"] == before + 1)


def test_metrics_are_valid_and_count_what_was_asked(routed: Routed) -> None:
    router, _, _, _ = routed
    for _ in range(5):
        router.get("shop.localhost")
    router.get("nobody.localhost")

    name = 'turnout_requests_total{app="shop",code="200",revision="shop--v1"}'
    assert metric(router, name) == 5
    assert metric(router, 'turnout_requests_total{app="_unknown",code="404"') == 1
    assert metric(router, 'turnout_errors_total{app="_unknown",reason="HostNotFound"}') == 1
    assert metric(router, "turnout_workers") == 2
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    _, exposition = router.call("GET", "/metrics")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=exposition,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_counter_never_falls_when_a_worker_dies(routed: Routed) -> None:
    router, _, _, _ = routed
    name = 'turnout_requests_total{app="shop",code="200",revision="shop--v1"}'
    for _ in range(20):
        router.get("shop.localhost")
    assert metric(router, name) == 20

    os.kill(children(router.process.pid)[0], signal.SIGKILL)
    until(lambda: metric(router, "turnout_worker_restarts_total") == 1)
    until(lambda: router.call("GET", "/readyz")[0] == 200)
    assert metric(router, name) == 20
    router.get("shop.localhost")
    assert metric(router, name) == 21


def _refuses(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return False
    return True


def test_workers_without_a_supervisor_answer_what_is_on_its_way_as_they_leave(state: Path) -> None:
    file = state / "routes.toml"
    with a_replica("one") as v1, a_replica("two") as v2:
        file.write_text(text(v1, v2))
        flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        settings = {"state": state / "s", "workers": 1, "orphan_grace_s": 0.5}
        router = Turnout("router", *flags, **settings).wait_ready()
        with closing(HTTPConnection("127.0.0.1", router.port, timeout=10)) as client:
            for is_alone in (False, True):
                client.request("GET", "/", headers={"Host": "shop.localhost"})
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (200, b"one")
                assert (answer.getheader("Connection") == "close") is is_alone
                if not is_alone:
                    os.kill(router.process.pid, signal.SIGKILL)
                    until(lambda: _refuses(router.port))  # nobody accepts any more
        router.kill()


def test_figures_of_a_dead_revision_go_although_workers_died_meanwhile(
    state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    with a_replica("one") as v1, a_replica("two") as v2:
        file.write_text(text(v1, v2))
        flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        settings = {"state": state / "s", "workers": 1, "metric_lifetime_s": 1}
        with Turnout("router", *flags, **settings) as router:
            for host in ("shop.localhost", "shop---staging.localhost"):
                assert router.get(host)[0] == 200
            name = 'turnout_requests_total{app="shop",code="200",revision="shop--v%d"}'
            assert metric(router, name % 2) == 1
            os.kill(children(router.process.pid)[0], signal.SIGKILL)
            until(lambda: metric(router, "turnout_worker_restarts_total") == 1)
            assert metric(router, name % 2) == 1

            file.write_text(text(v1, v2).partition('[[app.revision]]\nname = "shop--v2')[0])
            until(lambda: metric(router, name % 2) == 0)
            assert metric(router, name % 1) == 1


def test_sigterm_finishes_what_is_in_flight_and_exits_0(routed: Routed) -> None:
    router, _, _, _ = routed
    asked_slowly.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(router.get, "shop.localhost", "/slow")
        assert asked_slowly.wait(10)

        assert router.stop() == 0
        assert answer.result()[2] == "one"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("router",), "--routes FILE, --control URL or --docker"),
        (("router", "--routes", "/nowhere.toml"), "there is no file /nowhere.toml"),
        (("router", "--routes", "x", "--listen", "nonsense"), "is not HOST:PORT"),
        (("up", "--admin", "0.0.0.0:0", "--listen", "127.0.0.1:0"), "--token-file"),
        (("up", "--workers", "-3"), "workers"),
    ],
)
def test_bad_flags_exit_2_with_a_sentence(state: Path, args: tuple[str, ...], says: str) -> None:
    done = run(*args, state=state / "s")

    assert done.returncode == 2
    assert says in done.stderr


ANYWHERE = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")


def test_a_second_router_that_would_keep_tables_in_the_same_place_is_refused(state: Path) -> None:
    """A control plane would take the two for one, and each would take the other's table."""
    file, own = state / "routes.toml", state / "s"
    with a_replica("one") as one:
        file.write_text(text(one, one))
        flags = ("router", "--routes", str(file), "--docker", *ANYWHERE)
        with Turnout(*flags, "--state", str(own), docker_host="unix:///nowhere.sock") as router:
            for is_upgraded in (False, True):
                if is_upgraded:
                    router.stderr = b""
                    router.process.send_signal(signal.SIGUSR2)
                    router.read_until(b"^ready .*\n")
                done = run("router", "--control", "http://127.0.0.1:1", *ANYWHERE, state=own)

                assert done.returncode == 2, done.stderr
                assert f"another router uses {own}; stop it or give another" in done.stderr
                assert "Traceback" not in done.stderr
            assert router.get("shop.localhost")[0] == 200


def test_routers_on_routes_files_may_share_a_directory(routed: Routed) -> None:
    router, file, _, _ = routed
    flags = ("router", "--routes", str(file), *ANYWHERE, "--state", str(file.parent / "s"))
    with Turnout(*flags) as second:
        assert second.get("shop.localhost")[0] == 200
    assert router.get("shop.localhost")[0] == 200


def test_a_port_in_use_exits_1_with_a_sentence(routed: Routed) -> None:
    router, file, _, _ = routed
    flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", router.facts["admin"])
    done = run("router", *flags, state=file.parent / "other")

    assert done.returncode == 1
    assert f"cannot listen on {router.facts['admin']}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_check_names_every_problem_with_its_line(state: Path) -> None:
    file = state / "routes.toml"
    file.write_text(text("127.0.0.1:1", "nonsense", weights=(50, 20)))
    bad = run("check", str(file))
    assert bad.returncode == 1
    assert f"{file}:2: " in bad.stderr
    assert f"{file}:13: " in bad.stderr

    file.write_text(text("127.0.0.1:1", "127.0.0.1:2"))
    assert run("check", str(file)).returncode == 0
    file.write_text('listen = "127.0.0.1:80"\nworkres = 2\n')
    settings = run("check", str(file))
    assert settings.returncode == 1
    assert "did you mean workers?" in settings.stderr

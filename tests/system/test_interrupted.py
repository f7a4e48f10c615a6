"""Ctrl-C before a command knows what became of its call."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.cli import Cli
from tests.support.turnout import TURNOUT, Turnout, environment
from tests.system.test_rollback import NEVER_READY, deploy, states


@contextmanager
def before_the_answer(up: Turnout, method: bytes, act: Callable[[], None]) -> Iterator[str]:
    """A way to the control plane that does something when a call was answered, and then ends."""
    host, _, port = up.server.removeprefix("http://").rpartition(":")

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            head = client.recv(65536)
            server.sendall(head)
            if head.startswith(method) and b"\r\n\r\n" in head:
                threading.Thread(target=pass_on, args=(client, server), daemon=True).start()
                server.recv(1)
                act()
                return
            threading.Thread(target=pass_on, args=(client, server), daemon=True).start()
            pass_on(server, client)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        return


def test_a_deploy_interrupted_before_its_answer_says_what_may_go_on(cli: Cli, up: Turnout) -> None:
    deploy(cli, "v1")
    started, interrupted = threading.Event(), threading.Event()

    def interrupt() -> None:
        started.wait()
        process.send_signal(signal.SIGINT)
        interrupted.wait()

    with before_the_answer(up, b"PATCH", interrupt) as server:
        env = environment(server=server) | {"TURNOUT_TOKEN": up.token, "NO_COLOR": "1"}
        process = subprocess.Popen(
            [*TURNOUT, "deploy", "shop", *NEVER_READY, "--revision-suffix", "v2"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.set()
        out, said = process.communicate(timeout=60)
        interrupted.set()
    assert process.returncode == 130, out + said
    assert "the change may have been made" in said
    assert "turnout journal shop" in said
    assert "turnout deploy shop --cancel" in said
    assert "Traceback" not in said
    assert states(cli) == {"v1": True, "v2": True}


def test_a_command_interrupted_while_it_is_loaded_ends_without_a_traceback() -> None:
    script = """
import builtins
known = builtins.__import__
def interrupted(name, *args, **kwargs):
    if name == "typer":
        raise KeyboardInterrupt
    return known(name, *args, **kwargs)
from control.cli.entry import main
builtins.__import__ = interrupted
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

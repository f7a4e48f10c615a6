"""A Docker Engine of the tests' own, which shares nothing with any other on the machine.

It has namespaces of its own: its bridges, published ports and packet filter are in its network
namespace, its mounts and its /run in its mount namespace. There, it is the engine at the usual
socket. Both are gone with the last process in them, whatever ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.runs import family
from tests.support.turnout import until

# `cat` ends with the pipe to it, that is, with the test run.
_ROOM = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec cat"
_PROGRAMS = ("docker", "dockerd", "ip", "unshare", "nsenter")
_libc = ctypes.CDLL(None, use_errno=True)


def _move_to_network(place: str) -> None:
    """Move this thread, and those that it starts, to a network namespace."""
    with open(place, "rb") as file:
        if _libc.setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


class Engine:
    """One dockerd; what it keeps is in `root`."""

    def __init__(self, root: Path, *flags: str, data: Path | None = None) -> None:
        self.root = root
        self.flags = flags
        self.host = f"unix://{root}/d.sock"
        self._data = data or root / "data"
        self._log: IO[bytes] | None = None
        self._room: subprocess.Popen[bytes] | None = None
        self._mounts = 0  # its mount namespace, once it has one
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Engine:
        for program in _PROGRAMS:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        if os.geteuid():
            pytest.skip("a Docker Engine of the tests' own needs root")
        self._log = (self.root / "log").open("ab")
        self._room = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", _ROOM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        assert self._room.stdout is not None
        try:
            if self._room.stdout.readline() != b"ready\n":
                pytest.skip(f"no namespaces can be made here: {self._said()}")
            self._mounts = _mounts_of(self._room.pid)
            assert self._mounts not in (0, _mounts_of(os.getpid())), "it would be everybody's"
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with contextlib.suppress(AssertionError):
                if found := self.docker("ps", "-aq").split():
                    self.docker("rm", "-f", "-v", *found)
        finally:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=60)
        for pid in family(self._left()):  # the containers of an engine that could not be asked
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._room is not None:
            self._room.communicate()
        if self._process is not None:
            self._process.wait(timeout=30)
        if self._log is not None:
            self._log.close()
        shutil.rmtree(self.root / "data", ignore_errors=True)

    def _left(self) -> list[int]:
        """The processes in its mount namespace."""
        if not self._mounts:
            return []
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if _mounts_of(pid) == self._mounts]

    def _namespace(self, kind: str) -> Path:
        assert self._room is not None
        return Path(f"/proc/{self._room.pid}/ns/{kind}")

    def inside(self, *command: str) -> list[str]:
        """The command as it is started where this engine is the one at the usual socket."""
        return ["nsenter", f"--net={self._namespace('net')}",
                f"--mount={self._namespace('mnt')}", f"--wd={os.getcwd()}", *command]  # fmt: skip

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The test, and what it starts, are in the engine's network meanwhile."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _move_to_network(str(self._namespace("net")))
            try:
                yield
            finally:
                _move_to_network(f"/proc/self/fd/{before}")
        finally:
            os.close(before)

    def start(self) -> None:
        """Start it, or again; returns when it answers."""
        mark = os.environ.get("TEST_MARK")  # of the test's own processes; an engine outlives them
        environment = {k: v for k, v in os.environ.items() if k != "TEST_MARK"}
        folders = environment["PATH"].split(":")
        environment["PATH"] = ":".join(folder for folder in folders if folder != mark)
        # Its sockets have the engine's own /run for their short name: beneath a test's folder they
        # would be longer than a socket's name may be, and it would wait for itself in vain.
        places = ("--data-root", str(self._data), "--exec-root", "/run/engine",
                  "--pidfile", str(self.root / "pid"))  # fmt: skip
        hosts = ("--host", self.host, "--host", "unix:///run/docker.sock")
        self._process = subprocess.Popen(
            self.inside("dockerd", *hosts, *places, *self.flags),
            env=environment, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        process = self._process
        until(lambda: process.poll() is not None or self._answers(), timeout_s=60)
        assert process.poll() is None, self._said()

    def _said(self) -> str:
        return (self.root / "log").read_text()[-2000:]

    def stop(self) -> None:
        """SIGTERM: it ends its containers, then itself."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL, its containerd too; its containers run on."""
        assert self._process is not None
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()  # Go forks from any thread
        helpers = [int(pid) for t in tasks for pid in (t / "children").read_text().split()]
        self._process.kill()
        self._process.wait(timeout=30)
        for pid in helpers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # One that init has not reaped yet would be taken for a containerd that runs.
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers))

    def _answers(self) -> bool:
        return self._run("version").returncode == 0

    def docker(self, *args: str, data: bytes | None = None) -> str:
        """The docker command, to its end."""
        done = self._run(*args, data=data)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def _run(self, *args: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "DOCKER_HOST": self.host}
        return subprocess.run(
            ["docker", *args], input=data, env=environment, capture_output=True, check=False
        )


def _mounts_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0

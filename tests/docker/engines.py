"""A Docker Engine of a test's own, beside any other: one that may be killed, or filled up."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.turnout import until

# Nothing has to be translated: replicas are reached at their addresses, over the veth pair.
_APART = ("--iptables=false", "--ip6tables=false",
          "--default-address-pool", "base=10.213.0.0/16,size=24")  # fmt: skip
_NETWORK = """
netns add {name}
link add {name} type veth peer name {name} netns {name}
addr add 10.212.0.1/30 dev {name}
link set {name} up
-n {name} addr add 10.212.0.2/30 dev {name}
-n {name} link set {name} up
-n {name} link set lo up
-n {name} route add default via 10.212.0.1
route add 10.213.0.0/16 via 10.212.0.2
"""


class Engine:
    """One dockerd; what it keeps is in `root`.

    It has a network namespace of its own: two engines in one delete each other's docker0.
    """

    def __init__(self, root: Path, *flags: str, data: Path | None = None) -> None:
        self.root = root
        self.host = f"unix://{root}/d.sock"
        self._name = f"test{secrets.token_hex(4)}"
        places = ("--data-root", str(data or root / "data"), "--exec-root", str(root / "exec"))
        self._command = ["nsenter", f"--net=/run/netns/{self._name}", "dockerd",
                         "--host", self.host, *places, "--pidfile", str(root / "pid"),
                         *_APART, *flags]  # fmt: skip
        self._log = (root / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Engine:
        for program in ("dockerd", "ip"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        for line in _NETWORK.format(name=self._name).strip().splitlines():
            subprocess.run(["ip", *line.split()], check=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with contextlib.suppress(AssertionError):
                if found := self.docker("ps", "-aq").split():
                    self.docker("rm", "-f", "-v", *found)
        finally:
            if self._process is not None:
                self._process.terminate()
                self._process.wait(timeout=60)
            self._log.close()
            self._unmount()
            for kind in ("link", "netns"):
                subprocess.run(["ip", kind, "del", self._name], check=True)

    def _unmount(self) -> None:
        """What an engine leaves mounted: its own folder, and all of one that was killed."""
        lines = Path("/proc/mounts").read_text().splitlines()
        places = [place for line in lines if (place := line.split()[1]).startswith(f"{self.root}/")]
        for place in reversed(places):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)

    def start(self) -> None:
        """Start it, or again; returns when it answers."""
        mark = os.environ.get("TEST_MARK")  # of the test's own processes; an engine outlives them
        environment = {k: v for k, v in os.environ.items() if k != "TEST_MARK"}
        folders = environment["PATH"].split(":")
        environment["PATH"] = ":".join(folder for folder in folders if folder != mark)
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=self._log, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        process = self._process
        until(lambda: process.poll() is not None or self._answers(), timeout_s=60)
        assert process.poll() is None, (self.root / "log").read_text()[-2000:]

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

"""turnout as a container: the image builds here, and the compose files' services do what they say.

The base is made by debootstrap from this machine's mirror, as the Dockerfile's head says. There is
no compose on the machine: what the files ask of the engine is asked of it directly.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.conftest import docker
from tests.support.turnout import until

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "config" / "compose"
BASE, IMAGE = "turnout-base", "turnout:test"
SOCKET = Path("/var/run/docker.sock")


@pytest.fixture(scope="session")
def turnout(engine: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this checkout."""
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed")
    if not docker("images", "-q", BASE):
        subprocess.run(["sh", str(ROOT / "config" / "base-image.sh"), BASE], check=True)
    context = tmp_path_factory.mktemp("context")
    for name in ("router", "control"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "Dockerfile"):
        shutil.copy(ROOT / name, context / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(context / "wheels")]
    subprocess.run([*wheel, "-r", str(ROOT / "requirements.txt"), "setuptools"], check=True)
    arguments = ("BASE=" + BASE, "PIP_ARGS=--no-index --find-links=wheels")
    flags = [x for argument in arguments for x in ("--build-arg", argument)]
    docker("build", "-q", "-t", IMAGE, *flags, str(context))
    return IMAGE


Run = Callable[..., str]


@pytest.fixture
def run(turnout: str) -> Iterator[Run]:
    """Start containers, which do not outlive the test."""
    started: list[str] = []

    def start(*args: str) -> str:
        started.append(docker("run", "-d", *args))
        return started[-1]

    yield start
    if started:
        docker("rm", "-f", "-v", *started)


def service(file: str, name: str = "turnout") -> Any:
    """A service of a compose file, its variables left as they are."""
    return yaml.safe_load((COMPOSE / file).read_text())["services"][name]


def address(container: str) -> str:
    shown = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
    return str(next(iter(shown.values()))["IPAddress"])


def get(url: str, host: str = "") -> str:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def test_a_sidecar_routes_to_the_app_beside_it(run: Run, image: str, tmp_path: Path) -> None:
    asked = service("sidecar.yaml")
    assert asked["read_only"]
    flags = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
             "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
             "-v", f"{COMPOSE / 'sidecar'}:/routes:ro")  # fmt: skip
    edge = run(*flags, IMAGE, *asked["command"])
    run("--network", f"container:{edge}", "-e", "PORT=8080",
        "-e", "CONTAINER_APP_REVISION=album-api--v1", image)  # fmt: skip
    until(lambda: "album-api--v1" in get(f"http://{address(edge)}/", "album-api.localhost"))
    until(lambda: json.loads(docker("inspect", edge))[0]["State"]["Health"]["Status"] == "healthy")
    facts = json.loads(docker("inspect", edge))[0]
    assert facts["Config"]["User"] == "10001:10001"
    assert docker("stop", "-t", "30", edge) == edge
    assert json.loads(docker("inspect", edge))[0]["State"]["ExitCode"] == 0


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_an_edge_splits_by_labels_and_prometheus_sees_it(
    run: Run, image: str, tmp_path: Path
) -> None:
    asked = service("edge.yaml")
    (tmp_path / "tokens").write_text("ops write secret\n")
    (tmp_path / "tokens").chmod(0o644)
    flags = ("--read-only", "--tmpfs", "/tmp", "-v", f"{SOCKET}:{SOCKET}:ro",
             "--group-add", str(SOCKET.stat().st_gid),
             "-v", f"{tmp_path / 'tokens'}:/run/secrets/tokens:ro")  # fmt: skip
    edge = run(*flags, IMAGE, *asked["command"])
    for name in ("v1", "v2"):
        given = service("edge.yaml", name)
        labels = [x for k, v in given["labels"].items() for x in ("--label", f"{k}={v}")]
        env = [x for k, v in given["environment"].items() for x in ("-e", f"{k}={v}")]
        run(*labels, *env, image)
    url = f"http://{address(edge)}:8080/"
    until(lambda: {get(url, "album-api.localhost").partition(" ")[0] for _ in range(40)}
          >= {"album-api--v1", "album-api--v2"})  # fmt: skip
    prometheus, server = prometheus_for(f"{address(edge)}:8081", tmp_path)
    try:
        until(lambda: observed(server).keys() >= {"album-api--v1", "album-api--v2"})

        def split() -> dict[str, float]:
            for _ in range(50):
                get(url, "album-api.localhost")
            return observed(server)

        until(lambda: abs(split()["album-api--v1"] - 0.8) < 0.1, timeout_s=60)
    finally:
        prometheus.terminate()
        prometheus.wait(timeout=30)


def prometheus_for(target: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Debian's Prometheus with the file's configuration, pointed at the container."""
    text = (COMPOSE / "prometheus.yml").read_text().replace("turnout:8081", target)
    (folder / "prometheus.yml").write_text(text.replace("5s", "1s"))
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)

    def listening() -> str:
        for pid_line in (folder / "prometheus.log").read_text().splitlines():
            if "address=127.0.0.1:" in pid_line and "Listening" in pid_line:
                return pid_line.split("address=")[1].split()[0]
        return ""

    return process, f"http://{until(listening)}"


def observed(server: str) -> dict[str, float]:
    """Share of requests by revision, asked of Prometheus."""
    mine = "turnout_requests_total{app='album-api',revision!=''}"
    query = urllib.parse.quote(f"sum by (revision) ({mine}) / scalar(sum({mine}))")
    answer = json.loads(get(f"{server}/api/v1/query?query={query}") or "{}")
    found = answer.get("data", {}).get("result", [])
    return {r["metric"]["revision"]: float(r["value"][1]) for r in found}

"""turnout as a container: the image builds here, and the compose files' services do what they say.

The base is made by debootstrap from this machine's mirror, as the Dockerfile's head says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.compose import Compose
from tests.docker.conftest import docker
from tests.docker.engines import Engine
from tests.support.turnout import run, until
from tests.system.test_how_to import block

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "config" / "compose"
BASE, IMAGE = "turnout-base", "turnout:test"


@pytest.fixture(scope="session")
def turnout(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this checkout."""
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed")
    subprocess.run(["sh", str(ROOT / "config" / "base-image.sh"), BASE], check=True)
    context = tmp_path_factory.mktemp("context")
    for name in ("router", "control"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "Dockerfile"):
        shutil.copy(ROOT / name, context / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(context / "wheels")]
    subprocess.run([*wheel, "-r", str(ROOT / "requirements.txt"), "setuptools"], check=True)
    arguments = ("BASE=" + BASE, "PIP_ARGS=--no-index --find-links=wheels")
    flags = [x for argument in arguments for x in ("--build-arg", argument)]
    docker("build", "-q", "-t", IMAGE, *flags, str(context))
    return IMAGE


@pytest.fixture(autouse=True)
def has_compose() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")


def facts(container: str) -> Any:
    return json.loads(docker("inspect", container))[0]


def get(url: str, host: str = "") -> str:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def test_a_sidecar_routes_to_the_app_beside_it(turnout: str, image: str) -> None:
    given = {"TURNOUT_IMAGE": turnout, "APP_IMAGE": image, "PORT": "0"}
    with Compose(COMPOSE / "sidecar.yaml", **given) as compose:
        compose("up", "-d")
        url = compose.url("turnout", 80)
        until(lambda: "album-api--v1" in get(url, "album-api.localhost"))
        edge = compose.container("turnout")
        until(lambda: facts(edge)["State"]["Health"]["Status"] == "healthy")
        assert facts(edge)["Config"]["User"] == "10001:10001"
        assert facts(edge)["HostConfig"]["ReadonlyRootfs"]
        docker("stop", "-t", "30", edge)
        assert facts(edge)["State"]["ExitCode"] == 0


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_an_edge_splits_by_labels_and_prometheus_sees_it(
    engine: Engine, turnout: str, image: str, tmp_path: Path
) -> None:
    given = variables(engine, turnout, tmp_path) | {"APP_IMAGE": image}
    with Compose(COMPOSE / "edge.yaml", **given) as compose:
        compose("up", "-d", "v1", "v2", "turnout")
        url = compose.url("turnout", 8080)
        until(lambda: {get(url, "album-api.localhost").partition(" ")[0] for _ in range(40)}
              >= {"album-api--v1", "album-api--v2"})  # fmt: skip
        networks = facts(compose.container("turnout"))["NetworkSettings"]["Networks"]
        (address,) = (network["IPAddress"] for network in networks.values())
        prometheus, server = prometheus_for(f"{address}:8081", tmp_path)
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


# In place of the socket proxy, which cannot be pulled here: everything is let through.
FORWARD = """
import asyncio
async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def serve(reader, writer):
    other = await asyncio.open_unix_connection("/var/run/docker.sock")
    await asyncio.gather(copy(reader, other[1]), copy(other[0], writer))
async def main():
    await (await asyncio.start_server(serve, port=2375)).serve_forever()
asyncio.run(main())
"""


def test_control_and_router_in_a_container_start_others(
    engine: Engine, turnout: str, image: str, tmp_path: Path
) -> None:
    proxy = {"image": turnout, "user": "root", "entrypoint": ["python", "-c", FORWARD],
             "healthcheck": {"disable": True}}  # fmt: skip
    override = tmp_path / "override.yaml"
    override.write_text(yaml.safe_dump({"services": {"engine": proxy}}))
    if "turnout" not in docker("network", "ls", "--format", "{{.Name}}").split():
        docker("network", "create", "turnout")
    with Compose(
        COMPOSE / "full.yaml", override, **variables(engine, turnout, tmp_path)
    ) as compose:
        compose("up", "-d")
        url, server = compose.url("turnout", 8080), compose.url("turnout", 8081)
        until(lambda: get(f"{server}/readyz"))

        def cli(*args: str) -> str:
            done = run(*args, server=server, token=TOKEN)
            assert done.returncode == 0, done.stderr
            return done.stdout

        probe = ("--target-port", "8080", "--probe-path", "/")
        cli("deploy", "web", "--image", image, "--revision-suffix", "v1", *probe)
        until(lambda: "web--v1" in get(url, "web.localhost"))
        before = docker("ps", "-q", "--filter", "label=turnout.replica")
        compose("kill", "-s", "SIGKILL", "turnout")
        compose("up", "-d")
        url, server = compose.url("turnout", 8080), compose.url("turnout", 8081)
        until(lambda: "web--v1" in get(url, "web.localhost"))
        assert docker("ps", "-q", "--filter", "label=turnout.replica") == before
        until(lambda: get(f"{server}/readyz"))
        cli("app", "delete", "web", "--yes")
        until(lambda: not docker("ps", "-aq", "--filter", "label=turnout.replica"))


TOKEN = "a-token-for-this-test-only"


def variables(engine: Engine, turnout: str, folder: Path) -> dict[str, str]:
    """What the compose files ask for; ports are chosen by the engine."""
    tokens = folder / "tokens"
    tokens.write_text(f"ops write {TOKEN}\n")
    tokens.chmod(0o644)
    group = str(engine.root.joinpath("d.sock").stat().st_gid)
    return {"TURNOUT_IMAGE": turnout, "PORT": "0", "ADMIN_PORT": "0", "TOKENS": str(tokens),
            "DOCKER_GID": group}  # fmt: skip


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


def test_plain_docker_run_gives_it_the_engine(
    engine: Engine, turnout: str, image: str, tmp_path: Path
) -> None:
    """docs/how-to/container.md as it is written; our images stand in for those that it names."""
    if "turnout" in docker("network", "ls", "--format", "{{.Name}}").split():
        docker("network", "rm", "turnout")  # of a test before; the page makes its own
    docker("tag", turnout, "turnout:latest")
    docker("tag", image, "nginx:1.27")
    group = engine.root.joinpath("d.sock").stat().st_gid
    for kind in ("run", "upgrade"):
        script = block("container.md", f"sh {kind}")
        script = script.replace("$(stat -c %g /var/run/docker.sock)", str(group))
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        assert "shop--" in done.stdout.splitlines()[-1], done.stdout
    docker("exec", "turnout", "turnout", "app", "delete", "shop", "--yes")
    until(lambda: not docker("ps", "-aq", "--filter", "label=turnout.replica"))

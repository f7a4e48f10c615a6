"""Replicas as containers of a real engine: their life, their failures, and whose they are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.conftest import docker
from tests.support.cli import Cli
from tests.support.load import Load
from tests.support.turnout import Turnout, marked, provisioned, until

FAST = {"restart_backoff_s": 0.2, "drain_timeout_s": 5}


def an_up(state: Path) -> Turnout:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    return Turnout("up", state=state / "s", **flags, **FAST)


@pytest.fixture
def up(state: Path, image: str) -> Iterator[Turnout]:
    with an_up(state) as up:
        yield up
        for app in up.must("GET", "/v1/apps")["value"]:
            up.must("DELETE", f"/v1/apps/{app['name']}")
        until(lambda: not containers())


def is_ready(up: Turnout) -> bool:
    """Also while its port is closed."""
    try:
        return up.call("GET", "/readyz")[0] == 200
    except OSError:
        return False


def containers(*filters: str) -> list[str]:
    """Names of turnout's containers."""
    flags = [x for f in ("label=turnout.replica", *filters) for x in ("--filter", f)]
    return sorted(docker("ps", "-a", "--format", "{{.Names}}", *flags).split())


def running_ids() -> str:
    """Ids of turnout's running containers."""
    return docker("ps", "-q", "--no-trunc", "--filter", "label=turnout.replica")


def probes(port: int = 8080) -> list[dict[str, Any]]:
    get = {"path": "/", "port": port}
    return [
        {"type": "Startup", "httpGet": get, "periodSeconds": 1, "failureThreshold": 60},
        {"type": "Readiness", "httpGet": get, "periodSeconds": 1},
    ]


def body(
    suffix: str, image: str, mode: str = "single", replicas: int = 1, **main: Any
) -> dict[str, Any]:
    container = {"name": "web", "image": image, "probes": probes()} | main
    return {
        "configuration": {"activeRevisionsMode": mode, "ingress": {"targetPort": 8080}},
        "template": {
            "revisionSuffix": suffix,
            "containers": [container],
            "scale": {"minReplicas": replicas, "maxReplicas": replicas},
        },
    }


def test_a_day_with_containers(up: Turnout, image: str) -> None:
    """The issue's tour: two images, 80/20, a label, single mode, back; docker agrees each time."""
    cli = Cli(up.server)

    def agree(*revisions: str) -> None:
        listed = {
            r["name"]
            for revision in revisions
            for r in cli.json("replica", "list", "web", "--revision", revision)
        }
        until(lambda: set(containers("status=running")) == listed)

    docker("tag", image, "turnout-test:2")
    first = ("--revision-suffix", "v1", "--target-port", "8080", "--revisions-mode", "multiple")
    cli("deploy", "web", "--image", image, *first, "--probe-path", "/", "--min-replicas", "2")
    agree("web--v1")
    cli("deploy", "web", "--image", "turnout-test:2", "--revision-suffix", "v2")
    agree("web--v1", "web--v2")
    cli("traffic", "set", "web", "--revision-weight", "v1=80", "--revision-weight", "v2=20")
    cli("label", "add", "web", "--label", "staging", "--revision", "web--v2")
    assert "web--v2" in until(
        lambda: (page := up.get("web---staging.localhost"))[0] == 200 and page[2]
    )
    cli("revision", "set-mode", "web", "--mode", "single")
    until(lambda: cli.json("revision", "list", "web")[0]["trafficWeight"] == 100)
    until(lambda: len(cli.json("revision", "list", "web")) == 1)
    agree("web--v2")
    cli("revision", "activate", "web", "--revision", "web--v1")
    until(lambda: "web--v1" in up.get("web.localhost")[2])
    until(lambda: len(cli.json("revision", "list", "web")) == 1)
    agree("web--v1")
    assert "listening on 8080" in cli("logs", "web", "--revision", "web--v1")


@pytest.mark.parametrize(
    ("main", "sentences"),
    [
        ({"env": [{"name": "EXIT", "value": "3"}]}, ["exit code '3'", "leaving with 3"]),
        ({"env": [{"name": "LISTEN", "value": "9999"}]},
         ["The TargetPort 8080 does not match the listening port 9999."]),
        ({"command": ["/bin/sh", "-c", "x=1; while true; do x=$x$x; done"],
          "resources": {"memory": "16Mi"}}, ["exit code '137'", "its limit of 16Mi"]),
        ({"image": "nowhere.invalid/nothing:1"}, ["nowhere.invalid/nothing:1 cannot be pulled"]),
        ({"command": ["/bin/nothing"]}, ["/bin/nothing"]),
    ],
    ids=["exits at once", "wrong port", "over its memory", "no image", "no program"],
)  # fmt: skip
def test_what_goes_wrong_is_named_and_the_old_revision_serves_on(
    up: Turnout, image: str, main: dict[str, Any], sentences: list[str]
) -> None:
    up.must("PUT", "/v1/apps/web", body("v1", image))
    provisioned(up, "web--v1")
    until(lambda: "web--v1" in up.get("web.localhost")[2])
    bad = body("bad", image) | {}
    bad["template"]["containers"][0] |= main
    up.must("PUT", "/v1/apps/web", bad)

    def details() -> str:
        return str(up.must("GET", "/v1/apps/web/revisions/web--bad").get("runningStateDetails"))

    until(lambda: all(sentence in details() for sentence in sentences))
    if "TargetPort" not in sentences[0]:  # that one has ten minutes to mend itself
        shown = until(
            lambda: (
                (r := up.must("GET", "/v1/apps/web/revisions/web--bad"))["provisioningState"]
                == "Failed"
                and r
            )
        )
        assert shown["runningState"] == "ActivationFailed"
    assert "web--v1" in up.get("web.localhost")[2]


def test_a_replica_is_all_of_its_containers_with_volumes_and_secrets(
    up: Turnout, image: str
) -> None:
    given = body("v1", image)
    template = given["template"]
    template["volumes"] = [
        {"name": "shared", "storageType": "EmptyDir"},
        {"name": "vault", "storageType": "Secret", "secrets": [{"secretRef": "db"}]},
    ]
    mounts = [{"volumeName": "shared", "mountPath": "/shared"}]
    script = ["/bin/sh", "-c", "echo prepared > /shared/a; echo done"]
    template["initContainers"] = [
        {"name": "prepare", "image": image, "command": script, "volumeMounts": mounts}
    ]
    template["containers"][0]["volumeMounts"] = [
        *mounts, {"volumeName": "vault", "mountPath": "/secrets"},
    ]  # fmt: skip
    # same network namespace: the side's probe answers on a port of its own
    side = {"name": "side", "image": image, "env": [{"name": "LISTEN", "value": "9090"}],
            "probes": probes(9090)}  # fmt: skip
    template["containers"].append(side)
    given["configuration"]["secrets"] = [{"name": "db", "value": "hunter2"}]
    up.must("PUT", "/v1/apps/web", given)
    provisioned(up, "web--v1")
    page = until(lambda: (p := up.get("web.localhost"))[0] == 200 and p[2])
    assert "hunter2" in page
    assert "prepared" in page
    (main,) = [name for name in containers("status=running") if "." not in name]
    assert f"{main}.side" in containers("status=running")
    path = "/v1/apps/web/revisions/web--v1/replicas"
    (replica,) = up.must("GET", path)["value"]
    assert [c["name"] for c in replica["containers"]] == ["web", "side"]
    assert [c["name"] for c in replica["initContainers"]] == ["prepare"]
    cli = Cli(up.server)
    assert "listening on 8080" in cli("logs", "web")
    assert "listening on 9090" in cli("logs", "web", "--container", "side")
    assert "done" in cli("logs", "web", "--container", "prepare", "--tail", "5")
    wrong = cli.fails("logs", "web", "--container", "nope")
    assert "no container nope; it has web, side, prepare" in wrong

    docker("kill", f"{main}.side")  # one container ends: the replica does, and comes back whole
    until(lambda: up.must("GET", "/v1/apps/web/revisions/web--v1/replicas")["value"][0]
          ["containers"][0]["restartCount"] == 1)  # fmt: skip
    until(lambda: f"{main}.side" in containers("status=running"))
    until(lambda: up.get("web.localhost")[0] == 200)


def test_published_ports_instead_of_addresses(state: Path, image: str) -> None:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "docker_publish": "yes"}
    with Turnout("up", state=state / "s", **flags) as up:
        up.must("PUT", "/v1/apps/web", body("v1", image))
        provisioned(up, "web--v1")
        until(lambda: "web--v1" in up.get("web.localhost")[2])
        (replica,) = up.must("GET", "/v1/apps/web/revisions/web--v1/replicas")["value"]
        assert replica["address"].startswith("127.0.0.1:")
        assert replica["address"] in docker("port", replica["name"])
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not containers())


def test_paths_of_the_host_are_refused_unless_allowed(up: Turnout, image: str) -> None:
    given = body("v1", image)
    given["template"]["volumes"] = [
        {"name": "host", "storageType": "HostPath", "storageName": "/etc"}
    ]
    status, answer = up.call("PUT", "/v1/apps/web", given)
    assert (status, "docker_host_paths" in answer["error"]["message"]) == (400, True)


def test_containers_survive_a_kill_of_control_and_strangers_are_not_touched(
    up: Turnout, image: str, state: Path
) -> None:
    imposter = "web--v1-imposter"
    try:
        stranger = docker("run", "-d", "--name", imposter, image, "/bin/sleep", "600")
        up.must("PUT", "/v1/apps/web", body("v1", image, replicas=2))
        provisioned(up, "web--v1")
        before = running_ids()
        for pid in marked(state, also=b"TURNOUT_SYNC="):
            os.kill(pid, signal.SIGKILL)
        until(lambda: is_ready(up))
        until(lambda: up.get("web.localhost")[0] == 200)
        provisioned(up, "web--v1")
        assert running_ids() == before

        victim = containers()[0]
        docker("kill", victim)  # an adopted one is watched like our own
        until(lambda: running_ids() not in ("", before) and len(containers("status=running")) == 2)
        assert victim in containers("status=running")
        facts = json.loads(docker("inspect", stranger))[0]
        assert facts["State"]["Running"]
    finally:
        docker("rm", "-f", imposter)


async def test_twenty_deploys_in_a_row_lose_no_request(up: Turnout, image: str) -> None:
    def deploy(number: int) -> None:
        color = [{"name": "COLOR", "value": f"c{number}"}]
        up.must("PUT", "/v1/apps/web", body(f"v{number}", image, env=color))
        provisioned(up, f"web--v{number}")

    await asyncio.to_thread(deploy, 0)
    await asyncio.to_thread(until, lambda: up.get("web.localhost")[0] == 200)
    load = Load(up.port, "web.localhost", 200)
    running = asyncio.create_task(load.run())
    for number in range(1, 21):
        await asyncio.to_thread(deploy, number)
    load.stop()
    outcome = await running
    assert outcome.sent > 1000
    assert not outcome.failures, outcome


def test_an_init_container_that_never_ends_holds_up_no_delete(up: Turnout, image: str) -> None:
    given = body("v1", image)
    forever = {"name": "prepare", "image": image, "command": ["/bin/sleep", "100000"]}
    given["template"]["initContainers"] = [forever]
    up.must("PUT", "/v1/apps/web", given)
    until(lambda: containers("status=running"))
    up.must("DELETE", "/v1/apps/web")
    until(lambda: not containers())
    until(lambda: up.call("GET", "/v1/apps/web")[0] == 404)

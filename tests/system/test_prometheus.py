"""Debian's Prometheus, with the configuration that is shipped, watches a canary that goes bad."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import dashboard
from tests.support.turnout import Turnout, environment, provisioned, template, until

SHIPPED = Path(__file__).parents[2] / "config" / "prometheus"
CANARY = {"app": "shop", "revision": "shop--v2"}
# What stays empty while nothing waits, is retried, probed in vain, started again, set aside or
# traced.
QUIET = {
    "turnout_requests_queued",
    "turnout_retries_total",
    "turnout_probe_failures_total",
    "turnout_replica_restarts_total",
    "turnout_quarantined",
    "turnout_spans_total",
}


class Prometheus:
    """A running one."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        return list(self._get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"])

    def firing(self, alert: str, **labels: str) -> bool:
        """Whether an alert fires for something with these labels."""
        return any(
            one["state"] == "firing"
            and {"alertname": alert, **labels}.items() <= one["labels"].items()
            for one in self._get("alerts")["alerts"]
        )

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=10) as response:
            return json.load(response)["data"]


def hurried(folder: Path, targets: list[str]) -> Path:
    """The shipped configuration in a folder, with seconds in place of minutes."""
    given = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    given["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = given["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8081"]}]  # the default of --admin
    job["static_configs"] = [{"targets": targets}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(given))
    rules = (SHIPPED / "turnout.rules.yml").read_text()
    rules = re.sub(r"\[(5|15)m\]", "[6s]", re.sub(r"for: \dm", "for: 1s", rules))
    (folder / "turnout.rules.yml").write_text(rules)
    return folder / "prometheus.yml"


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[Prometheus]:
    folder.mkdir()
    log = folder / "log"
    flags = [f"--config.file={hurried(folder, targets)}", f"--storage.tsdb.path={folder / 'data'}"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["prometheus", *flags, "--web.listen-address=127.0.0.1:0"],
            stdout=out, stderr=out, env=environment(),
        )  # fmt: skip

    def address() -> str:
        assert process.poll() is None, log.read_text()
        said = log.read_text()
        found = re.search(r'"Listening on" address=(\S+)', said)
        return found[1] if found is not None and "Server is ready" in said else ""

    try:
        yield Prometheus(until(address))
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def visitors(up: Turnout) -> Iterator[None]:
    """A steady stream of requests to the app's host."""
    is_over = threading.Event()

    def visit() -> None:
        while not is_over.wait(0.02):
            up.get("shop.localhost")

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def a_canary(up: Turnout) -> None:
    """Half of the requests go to a second revision."""
    multiple = {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}}
    body = {"configuration": multiple, "template": template("v1")}
    up.must("PUT", "/v1/apps/shop", body)
    up.must(
        "PUT", "/v1/apps/shop/traffic", {"traffic": [{"revisionName": "shop--v1", "weight": 100}]}
    )
    up.must("PATCH", "/v1/apps/shop", {"template": template("v2")})
    provisioned(up, "shop--v2")
    halves = [{"revisionName": f"shop--{suffix}", "weight": 50} for suffix in ("v1", "v2")]
    up.must("PUT", "/v1/apps/shop/traffic", {"traffic": halves})


def test_an_alert_fires_while_a_canary_is_bad_and_ends_with_the_rollback(
    up: Turnout, state: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian package prometheus)")
    a_canary(up)
    with visitors(up), prometheus(state / "prometheus", [up.facts["admin"]]) as watching:
        errors = f'app_revision:turnout_errors:ratio_rate5m{{revision="{CANARY["revision"]}"}}'
        until(lambda: [one["value"][1] for one in watching.query(errors)] == ["0"])
        assert not watching.firing("TurnoutRevisionErrors")

        up.must("PUT", "/v1/apps/shop/revisions/shop--v2/fault", {"abortPercent": 100})
        until(lambda: watching.firing("TurnoutRevisionErrors", **CANARY))
        assert not watching.firing("TurnoutRevisionErrors", revision="shop--v1")
        assert not watching.firing("TurnoutRolledBack")

        up.must("POST", "/v1/apps/shop/rollback", {})
        until(lambda: watching.firing("TurnoutRolledBack", app="shop"))
        until(lambda: not watching.firing("TurnoutRevisionErrors"))
        until(lambda: not watching.firing("TurnoutRolledBack"))
        empty = [one for one in dashboard.expressions() if not watching.query(one)]
        assert set(re.findall(r"turnout_\w+", " ".join(empty))) <= QUIET

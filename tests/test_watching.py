"""The dashboard, the rules and what is written about them agree with what is exposed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import dashboard
from config.series import UnknownSeries, exposed, labels_of

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "config" / "prometheus"
SERIES = cache(exposed)


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((PROMETHEUS / "turnout.rules.yml").read_text())["groups"]:
        yield from group["rules"]


def promtool(*command: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    done = subprocess.run(
        ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_the_one_that_is_made_now() -> None:
    page = (ROOT / "config" / "grafana" / "turnout.json").read_text()
    assert page == dashboard.page(), "make docs"


def test_every_series_of_a_revision_is_on_the_dashboard() -> None:
    asked = " ".join(dashboard.expressions())
    unasked = {
        name.removesuffix("_count").removesuffix("_sum")
        for name, labels in SERIES().items()
        if "revision" in labels and not name.endswith("_bucket")
        if not re.search(rf"\b{re.sub('_(count|sum)$', '', name)}(_bucket)?\b", asked)
    }
    # The share of a single router, whether it has a replica: the dashboard adds routers up.
    assert unasked == {"turnout_revision_share_ratio", "turnout_replica_up"} | {
        "turnout_revision_active"  # the choice of apps is made from it
    }


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("turnout_request_total", "no series turnout_request_total"),
        ('turnout_requests_total{path="/"}', "turnout_requests_total has no label path"),
        ("sum by (path) (rate(turnout_requests_total[5m]))", "sum has no label path"),
        ("sum by (app) (sum(turnout_requests_total))", "sum has no label app"),
        ("turnout_workers / turnout_quarantined", "never match"),
        ("turnout_workers / on (app) turnout_quarantined", "/ has no label app"),
        ("histogram_quantile(1, turnout_overhead_seconds_bucket) / on (le) up", "no label le"),
    ],
)
def test_what_is_made_up_is_found(expression: str, wrong: str) -> None:
    with pytest.raises(UnknownSeries, match=wrong):
        labels_of(expression, SERIES())


def test_no_rule_asks_for_what_is_not_there() -> None:
    known: dict[str, frozenset[str]] = dict(SERIES())
    for rule in rules():
        labels = labels_of(rule["expr"], known)
        if "record" in rule:
            known[rule["record"]] = labels
        named = re.findall(r"\$labels\.(\w+)", str(rule.get("annotations")))
        assert set(named) <= labels, rule


@pytest.mark.system
def test_the_configuration_is_valid_for_prometheus() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "turnout.rules.yml")


@pytest.mark.system
def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "turnout.test.yml")


def test_every_alert_is_tried_and_says_what_to_do() -> None:
    alerts = [rule["alert"] for rule in rules() if "alert" in rule]
    tried = yaml.safe_load((PROMETHEUS / "turnout.test.yml").read_text())["tests"]
    firing = {
        one["alertname"] for test in tried for one in test["alert_rule_test"] if "exp_alerts" in one
    }
    assert firing == set(alerts)
    page = (ROOT / "docs" / "how-to" / "watch.md").read_text()
    assert re.findall(r"^\| `(Turnout\w+)` \|", page, re.M) == alerts


def written(kind: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the page says to type, on a host whose root is the folder."""
    page = (ROOT / "docs" / "how-to" / "watch.md").read_text()
    (script,) = re.findall(rf"^```sh {kind}\n(.*?)^```", page, re.M | re.S)
    typed = re.sub(r"(?<= )/(etc|var)/", rf"{folder}/\1/", script)
    for place in ("etc/prometheus", "etc/grafana", "var/lib/grafana"):
        (folder / place).mkdir(parents=True)
    return subprocess.run(
        ["sh", "-e", "-c", typed], cwd=ROOT, capture_output=True, text=True, check=True
    )


@pytest.mark.system
def test_prometheus_takes_what_is_copied_as_it_is_written(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    assert "SUCCESS: 1 rule files found" in written("prometheus", tmp_path).stdout


@pytest.mark.system
def test_grafana_finds_what_is_copied_as_it_is_written(tmp_path: Path) -> None:
    written("grafana", tmp_path)
    provisioning = tmp_path / "etc/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/turnout.yaml").read_text())[
        "providers"
    ]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    (page,) = (tmp_path / provider["options"]["path"][1:]).iterdir()
    assert json.loads(page.read_text())["uid"] == "turnout"

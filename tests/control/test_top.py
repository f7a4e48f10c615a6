"""`turnout top` counts as the dashboard does: Prometheus makes the same of the same samples."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config import dashboard
from control.cli.commands.top import rows_of, sample_of

STEP_S = 15
BOUNDS = ("0.001", "0.01", "0.1", "+Inf")
# Made in each step: answers with 200 and with 503, and how many of all took how long, by bucket.
MADE = {"v1": (600, 0, (300, 200, 90, 10)), "v2": (150, 150, (0, 30, 240, 30))}
WEIGHTS = {"v1": 0.75, "v2": 0.25}


def rising() -> Iterator[tuple[str, int]]:
    """Each counter, and by how much it rises in a step."""
    for name, (fine, failed, buckets) in MADE.items():
        of = f'app="shop",revision="shop--{name}"'
        yield f'turnout_requests_total{{{of},code="200"}}', fine
        yield f'turnout_requests_total{{{of},code="503"}}', failed
        for at, bound in enumerate(BOUNDS):
            bucket = f'turnout_request_duration_seconds_bucket{{{of},le="{bound}"}}'
            yield bucket, sum(buckets[: at + 1])


def weights() -> Iterator[tuple[str, float]]:
    for name, weight in WEIGHTS.items():
        yield f'turnout_revision_weight_ratio{{app="shop",revision="shop--{name}"}}', weight


def exposition(step: int) -> str:
    """What is exposed after some steps, with the types that the parser asks for."""
    lines = [
        "# TYPE turnout_requests_total counter",
        *(f"{series} {made * step}" for series, made in rising() if "requests" in series),
        "# TYPE turnout_request_duration_seconds histogram",
        *(f"{series} {made * step}" for series, made in rising() if "bucket" in series),
        "# TYPE turnout_revision_weight_ratio gauge",
        *(f"{series} {weight}" for series, weight in weights()),
    ]
    return "".join(f"{line}\n" for line in lines)


def asked(title: str, legend: str) -> str:
    """An expression of the dashboard, for all apps and revisions."""
    (panel,) = (panel for panel in dashboard.REVISIONS if panel.title.startswith(title))
    (expression,) = (query for query, shown in panel.queries if shown.endswith(legend))
    chosen = expression.replace('"$app"', '".*"').replace('"$revision"', '".*"')
    return chosen.replace("$__rate_interval", "1m")


COLUMNS = [  # of `turnout top`, what the dashboard has for it, and in which unit that is shown
    ("requests", asked("Requests", "{{revision}}"), 1),
    ("errorPercent", asked("Errors", "{{revision}}"), 100),
    ("weight", asked("Split", "configured"), 100),
    ("share", asked("Split", "observed"), 100),
    ("p50", asked("Duration, from", "p50"), 1000),
    ("p99", asked("Duration, from", "p99"), 1000),
]


def test_top_and_the_dashboard_agree(tmp_path: Path) -> None:
    rows = rows_of(sample_of(exposition(3), 0.0), sample_of(exposition(4), STEP_S))
    assert [row["revision"] for row in rows] == ["shop--v1", "shop--v2"]
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    test = {
        "interval": f"{STEP_S}s",
        "input_series": [
            *({"series": series, "values": f"0+{made}x20"} for series, made in rising()),
            *({"series": series, "values": f"{weight}x20"} for series, weight in weights()),
        ],
        "promql_expr_test": [
            {
                "expr": f"round(sum by (revision) ({expression}) * {unit}, 0.1)",
                "eval_time": "4m",
                "exp_samples": [
                    {"labels": f'{{revision="{row["revision"]}"}}', "value": row[column]}
                    for row in rows
                ],
            }
            for column, expression, unit in COLUMNS
        ],
    }
    file = tmp_path / "top.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_revisions_of_one_app_are_shown() -> None:
    other = exposition(4).replace("shop", "shop--x")
    before, after = sample_of("", 0.0), sample_of(exposition(4) + other, 1.0)
    assert {row["revision"] for row in rows_of(before, after, "shop")} == {"shop--v1", "shop--v2"}


def test_a_router_that_has_begun_anew_counts_from_zero() -> None:
    (row, _) = rows_of(sample_of(exposition(9), 0.0), sample_of(exposition(1), STEP_S))
    assert row["requests"] == MADE["v1"][0] / STEP_S

"""`turnout top`: what each revision does now, from the metrics that Prometheus reads.

Counted as the dashboard in config/grafana counts: a test puts the same samples to both.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import typer
from rich import box
from rich.table import Table

from control.cli.client import Api, console, fail
from control.cli.output import Format, Output, Server, show

_COLUMNS = (
    ("Revision", "revision"),
    ("Weight %", "weight"),
    ("Share %", "share"),
    ("Requests/s", "requests"),
    ("Errors %", "errorPercent"),
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
    ("In flight", "inFlight"),
)

_ENDLESS = float("inf")  # the bound of the last bucket

K = TypeVar("K")


@dataclass
class Sample:
    """The counters of all revisions at one moment."""

    at: float
    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    errors: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    in_flight: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    weights: dict[str, float] = field(default_factory=dict)
    apps: dict[str, str] = field(default_factory=dict)
    buckets: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(dict))


def top(
    app: Annotated[str, typer.Argument(help="Only this app's revisions.")] = "",
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Show requests, errors and latency of each revision, live."""
    api = Api(server)
    before = _sample(api)
    if once or output is not Format.TABLE:
        time.sleep(interval)
        show(rows_of(before, _sample(api), app), _COLUMNS, output)
        return
    from rich.live import Live

    with Live(_table([]), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            after = _sample(api)
            live.update(_table(rows_of(before, after, app)), refresh=True)
            before = after


def _sample(api: Api) -> Sample:
    status, text = api.page("/metrics")
    if status != 200:
        fail(f"{api.server}/metrics answered {status}; --server is the address of an admin port")
    return sample_of(text, time.monotonic())


def sample_of(text: str, at: float) -> Sample:
    """The counters of an exposition, read at a moment in seconds."""
    from prometheus_client.parser import text_string_to_metric_families

    sample = Sample(at)
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            revision = labels.get("revision", "")
            if not revision:
                continue
            if name == "turnout_requests_total":
                sample.apps[revision] = labels["app"]
                sample.requests[revision] += value
                if labels["code"].startswith("5"):
                    sample.errors[revision] += value
            elif name == "turnout_revision_weight_ratio":
                sample.weights[revision] = value
            elif name == "turnout_requests_in_flight":
                sample.in_flight[revision] += value
            elif name == "turnout_request_duration_seconds_bucket":
                sample.buckets[revision][float(labels["le"])] = value
    return sample


def rows_of(before: Sample, after: Sample, app: str = "") -> list[dict[str, Any]]:
    """What each revision did between two samples."""
    seconds = after.at - before.at
    requests = _made(before.requests, after.requests)
    errors = _made(before.errors, after.errors)
    of_app: dict[str, float] = defaultdict(float)
    for revision, n in requests.items():
        of_app[after.apps[revision]] += n
    return [
        {
            "revision": revision,
            "weight": _percent(after.weights.get(revision), 1),
            "share": _percent(n, of_app[after.apps[revision]]),
            "requests": round(n / seconds, 1),
            "errors": round(errors.get(revision, 0.0) / seconds, 1),
            "errorPercent": _percent(errors.get(revision, 0.0), n),
            "p50": _quantile(before, after, revision, 0.5),
            "p99": _quantile(before, after, revision, 0.99),
            "inFlight": int(after.in_flight.get(revision, 0)),
        }
        for revision, n in sorted(requests.items())
        if not app or after.apps[revision] == app
    ]


def _made(before: dict[K, float], after: dict[K, float]) -> dict[K, float]:
    """By how much counters rose; one that fell has begun anew."""
    return {key: n - was if n >= (was := before.get(key, 0.0)) else n for key, n in after.items()}


def _percent(part: float | None, whole: float) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None


def _quantile(before: Sample, after: Sample, revision: str, share: float) -> float | None:
    """Milliseconds, as histogram_quantile has it: within a bucket, requests lie evenly."""
    made = _made(before.buckets.get(revision, {}), after.buckets.get(revision, {}))
    rank = share * made.get(_ENDLESS, 0.0)
    lower = below = 0.0
    for le, n in sorted(made.items()):
        if n > below and n >= rank:
            part = (rank - below) / (n - below) if le != _ENDLESS else 0.0
            return round((lower + (le - lower) * part if part else lower) * 1000, 1)
        lower, below = le, n
    return None


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, _ in _COLUMNS:
        table.add_column(title, justify="left" if title == "Revision" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row[key] is None else str(row[key]) for _, key in _COLUMNS))
    return table

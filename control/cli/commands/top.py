"""`turnout top`: what each revision does now, from the metrics that Prometheus reads."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from control.cli.client import Api, console, fail
from control.cli.output import Format, Output, Server, show

_COLUMNS = (
    ("Revision", "revision"),
    ("Requests/s", "requests"),
    ("Errors/s", "errors"),
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
    ("In flight", "inFlight"),
)


@dataclass
class Sample:
    """The counters of all revisions at one moment."""

    at: float
    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    errors: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    in_flight: dict[str, float] = field(default_factory=lambda: defaultdict(float))
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
        show(_rows(before, _sample(api), app), _COLUMNS, output)
        return
    from rich.live import Live

    with Live(_table([]), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            after = _sample(api)
            live.update(_table(_rows(before, after, app)), refresh=True)
            before = after


def _sample(api: Api) -> Sample:
    from prometheus_client.parser import text_string_to_metric_families

    status, text = api.page("/metrics")
    if status != 200:
        fail(f"{api.server}/metrics answered {status}; --server is the address of an admin port")
    sample = Sample(time.monotonic())
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            revision = labels.get("revision", "")
            if not revision:
                continue
            if name == "turnout_requests_total":
                sample.requests[revision] += value
                if labels["code"].startswith("5"):
                    sample.errors[revision] += value
            elif name == "turnout_requests_in_flight":
                sample.in_flight[revision] += value
            elif name == "turnout_request_duration_seconds_bucket":
                sample.buckets[revision][float(labels["le"])] = value
    return sample


def _rows(before: Sample, after: Sample, app: str) -> list[dict[str, Any]]:
    seconds = after.at - before.at
    return [
        {
            "revision": revision,
            "requests": round((n - before.requests.get(revision, 0.0)) / seconds, 1),
            "errors": round(
                (after.errors.get(revision, 0.0) - before.errors.get(revision, 0.0)) / seconds, 1
            ),
            "p50": _quantile(before, after, revision, 0.5),
            "p99": _quantile(before, after, revision, 0.99),
            "inFlight": int(after.in_flight.get(revision, 0)),
        }
        for revision, n in sorted(after.requests.items())
        if not app or revision.startswith(f"{app}--")
    ]


def _quantile(before: Sample, after: Sample, revision: str, share: float) -> float | None:
    """Milliseconds: the bound of the bucket that the quantile of the interval falls into."""
    old = before.buckets.get(revision, {})
    counts = {le: n - old.get(le, 0.0) for le, n in after.buckets.get(revision, {}).items()}
    total = max(counts.values(), default=0.0)
    bounds = [le for le, n in sorted(counts.items()) if total and n >= total * share]
    return round(bounds[0] * 1000, 1) if bounds and bounds[0] != float("inf") else None


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, _ in _COLUMNS:
        table.add_column(title, justify="left" if title == "Revision" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row[key] is None else str(row[key]) for _, key in _COLUMNS))
    return table

"""Writes config/grafana/turnout.json: a Grafana dashboard of what turnout exposes.

Every expression is held against the series that there are (`series.py`) before anything is written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
)

from config.series import exposed, labels_of

_SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
_THERE = '{app=~"$app",revision=~"$revision"}'
_RATE = "[$__rate_interval]"
_HALF, _THIRD = 12, 8  # of the 24 columns of a row
_HEIGHT = 8

Query = tuple[str, str]  # expression, legend


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: what it shows, in which unit, and how wide."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    width: int = _HALF
    is_stacked: bool = False
    description: str = ""


def _rate(name: str, by: str, labels: str = "") -> str:
    chosen = _THERE[:-1] + (f",{labels}}}" if labels else "}")
    return f"sum by ({by}) (rate({name}{chosen}{_RATE}))"


def _now(name: str, by: str) -> str:
    return f"sum by ({by}) ({name}{_THERE})"


def _quantile(share: float, name: str, by: str = "revision", chosen: str = _THERE) -> str:
    grouped = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({name}_bucket{chosen}{_RATE})))"


_REQUESTS = _rate("turnout_requests_total", "app, revision", 'revision!=""')
_FAILED = _rate("turnout_requests_total", "app, revision", 'revision!="",code=~"5.."')
_OF_APP = f'sum by (app) (rate(turnout_requests_total{{app=~"$app",revision!=""}}{_RATE}))'
_WEIGHT = f"max by (app, revision) (turnout_revision_weight_ratio{_THERE})"

REVISIONS = (
    Panel("Requests", "reqps", ((_REQUESTS, "{{revision}}"),)),
    Panel(
        "Errors: the share of answers that are 5xx",
        "percentunit",
        ((f"({_FAILED} or 0 * {_REQUESTS}) / ({_REQUESTS} > 0)", "{{revision}}"),),
    ),
    Panel(
        "Split: configured and observed",
        "percentunit",
        (
            (_WEIGHT, "{{revision}} configured"),
            (f"{_REQUESTS} / on (app) group_left () ({_OF_APP} > 0)", "{{revision}} observed"),
        ),
        description="Observed are all requests, those to hosts of labels and revisions included.",
    ),
    Panel(
        "Duration, from head read to answer sent",
        "s",
        tuple(
            (_quantile(share, "turnout_request_duration_seconds"), f"{{{{revision}}}} {name}")
            for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
        ),
    ),
    Panel(
        "Duration at the replica",
        "s",
        ((_quantile(0.99, "turnout_upstream_duration_seconds"), "{{revision}} p99"),),
        _THIRD,
    ),
    Panel(
        "Answers by status",
        "reqps",
        ((_rate("turnout_requests_total", "code"), "{{code}}"),),
        _THIRD,
        is_stacked=True,
    ),
    Panel(
        "Answers of the edge itself",
        "reqps",
        ((f'sum by (reason) (rate(turnout_errors_total{{app=~"$app"}}{_RATE}))', "{{reason}}"),),
        _THIRD,
        is_stacked=True,
    ),
)

SATURATION = (
    Panel(
        "Requests in flight, and waiting for room",
        "short",
        (
            (_now("turnout_requests_in_flight", "revision"), "{{revision}} in flight"),
            (_now("turnout_requests_queued", "revision"), "{{revision}} waiting"),
        ),
        _THIRD,
    ),
    Panel(
        "Connections to replicas",
        "short",
        ((_now("turnout_upstream_connections", "state"), "{{state}}"),),
        _THIRD,
        is_stacked=True,
    ),
    Panel(
        "WebSockets",
        "short",
        ((_now("turnout_websockets_open", "revision"), "{{revision}}"),),
        _THIRD,
    ),
    Panel(
        "Retries",
        "ops",
        ((_rate("turnout_retries_total", "revision, reason"), "{{revision}} {{reason}}"),),
        _THIRD,
    ),
    Panel(
        "Ejections",
        "ops",
        ((_rate("turnout_ejections_total", "revision"), "{{revision}}"),),
        _THIRD,
    ),
    Panel(
        "Failed probes",
        "ops",
        ((_rate("turnout_probe_failures_total", "revision, type"), "{{revision}} {{type}}"),),
        _THIRD,
    ),
    Panel(
        "Replicas",
        "short",
        ((_now("turnout_replicas", "revision, state"), "{{revision}} {{state}}"),),
        _THIRD,
    ),
    Panel(
        "Restarts",
        "ops",
        ((_rate("turnout_replica_restarts_total", "revision, reason"), "{{revision}} {{reason}}"),),
        _THIRD,
    ),
    Panel(
        "Bodies",
        "Bps",
        (
            (_rate("turnout_request_bytes_total", "revision"), "{{revision}} in"),
            (_rate("turnout_response_bytes_total", "revision"), "{{revision}} out"),
        ),
        _THIRD,
    ),
)

TURNOUT = (
    Panel(
        "Clients",
        "short",
        (
            ("turnout_connections_open", "{{instance}} connections"),
            ("turnout_clients_stalled", "{{instance}} stalled"),
        ),
        _THIRD,
    ),
    Panel(
        "Clients turned away, log lines and spans lost",
        "ops",
        (
            (
                f"sum by (instance, reason) (rate(turnout_accept_errors_total{_RATE}))",
                "{{instance}} {{reason}}",
            ),
            (f"rate(turnout_access_log_dropped_total{_RATE})", "{{instance}} log lines"),
            (
                f'rate(turnout_spans_total{{result!="exported"}}{_RATE})',
                "{{instance}} spans {{result}}",
            ),
        ),
        _THIRD,
    ),
    Panel(
        "Time before a request is sent on",
        "s",
        ((_quantile(0.99, "turnout_overhead_seconds", "instance", ""), "{{instance}} p99"),),
        _THIRD,
    ),
    Panel(
        "How far routers are behind",
        "s",
        (
            ("max by (router) (turnout_router_behind_seconds)", "{{router}}"),
            (
                "time() - turnout_control_heard_timestamp_seconds",
                "{{instance}} since the control plane said something",
            ),
        ),
        _THIRD,
    ),
    Panel(
        "Tables",
        "ops",
        (
            (
                f"sum by (instance, result) (rate(turnout_table_reloads_total{_RATE}))",
                "{{instance}} {{result}}",
            ),
            ("turnout_apps_refused", "{{instance}} apps refused"),
            ("max by (app) (turnout_quarantined)", "{{app}} quarantined"),
        ),
        _THIRD,
    ),
    Panel(
        "Time to take a table, and to plan",
        "s",
        (
            ("turnout_table_reload_seconds", "{{instance}} last table"),
            (_quantile(0.99, "turnout_reconcile_seconds", "instance", ""), "{{instance}} plans"),
        ),
        _THIRD,
    ),
    Panel(
        "Workers",
        "short",
        (
            ("turnout_workers", "{{instance}} route"),
            ("increase(turnout_worker_restarts_total[1h])", "{{instance}} replaced in an hour"),
        ),
        _THIRD,
    ),
    Panel(
        "Revisions by state",
        "short",
        (('sum by (state) (turnout_revisions{app=~"$app"})', "{{state}}"),),
        _THIRD,
        is_stacked=True,
    ),
    Panel(
        "Versions that run",
        "short",
        (("count by (version, build) (turnout_build_info)", "{{version}} {{build}}"),),
        _THIRD,
    ),
)

ROWS = (
    ("Revisions of $app", REVISIONS),
    ("Saturation, retries and replicas", SATURATION),
    ("turnout itself", TURNOUT),
)

# name, expression, colour, text; the first draws each line at the moment that is the value
_DEPLOYS = f"turnout_revision_created_timestamp_seconds{_THERE} * 1000"
_ROLLBACKS = 'changes(turnout_rollbacks_total{app=~"$app"}[$__interval]) > 0'
_SHIFTS = f"changes(turnout_revision_weight_ratio{_THERE}[$__interval]) > 0"
ANNOTATIONS = (
    ("Deploys", _DEPLOYS, "blue", "{{revision}} deployed"),
    ("Rollbacks", _ROLLBACKS, "red", "{{app}} rolled back"),
    ("Weights", _SHIFTS, "purple", "weight of {{revision}} changed"),
)


def expressions() -> Iterator[str]:
    """Everything that the dashboard asks, with a choice in place of Grafana's variables."""
    asked = [query for _, panels in ROWS for panel in panels for query, _ in panel.queries]
    for expression in (*asked, *(expression for _, expression, *_ in ANNOTATIONS)):
        chosen = expression.replace('"$app"', '".*"').replace('"$revision"', '".*"')
        yield chosen.replace("$__rate_interval", "1m").replace("$__interval", "1m")


def page() -> str:
    """The dashboard as JSON. Raises UnknownSeries."""
    series = exposed()
    for expression in expressions():
        labels_of(expression, series)
    made = json.loads(json.dumps(_dashboard().build(), cls=JSONEncoder))
    made["annotations"] = {"list": [_annotation(*one) for one in ANNOTATIONS]}
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _dashboard() -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard("turnout")
        .uid("turnout")
        .tags(["turnout"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
        )
        .with_variable(_choice("app", "label_values(turnout_revision_active, app)"))
        .with_variable(
            _choice("revision", 'label_values(turnout_revision_active{app=~"$app"}, revision)')
        )
    )
    for title, panels in ROWS:
        made = made.with_row(dashboard.Row(title))
        for panel in panels:
            made = made.with_panel(_graph(panel))
    return made


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")  # a revision that has left keeps its past
        .multi(True)
    )


def _graph(panel: Panel) -> timeseries.Panel:
    stacking = StackingMode.NORMAL if panel.is_stacked else StackingMode.NONE
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(_HEIGHT)
        .datasource(_SOURCE)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(20 if panel.is_stacked else 0)
        .stacking(common.StackingConfig().mode(stacking))
        .legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for at, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).range()
        made = made.with_target(query.ref_id(chr(ord("A") + at)))
    return made


def _annotation(name: str, expression: str, colour: str, text: str) -> dict[str, Any]:
    """As Grafana's data source for Prometheus reads it: the SDK has not all of its keys."""
    return {
        "name": name,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "enable": True,
        "expr": expression,
        "iconColor": colour,
        "titleFormat": text,
        "useValueForTime": name == "Deploys",
    }


if __name__ == "__main__":
    sys.stdout.write(page())

"""The merged figures as Prometheus families, through a Collector.

They are made from plain integers on each scrape: no request touches a metric object.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from router import __version__
from router.build import build_kind
from router.routing.stats import BUCKETS
from router.supervisor.totals import HistogramTotal, Totals
from router.tracing.exporter import Exporter, Key, Span

if TYPE_CHECKING:
    from router.supervisor.supervisor import Supervisor

_REVISION = ["app", "revision"]

# Bound, count, and perhaps a request that it counts.
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class RouterCollector(Collector):
    """Reads the supervisor's state on each scrape."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterable[Metric]:
        totals = self._supervisor.totals()
        spans = self._supervisor.keeper.spans
        yield from _requests(totals, spans.exemplars if spans is not None else {})
        yield from self._revisions()
        yield from self._process(totals)

    def _revisions(self) -> Iterable[Metric]:
        supervisor = self._supervisor
        weight = GaugeMetricFamily(
            "turnout_revision_weight_ratio", "Configured share of the app's host.", labels=_REVISION
        )
        active = GaugeMetricFamily(
            "turnout_revision_active", "1 for a revision in the table.", labels=_REVISION
        )
        up = GaugeMetricFamily(
            "turnout_replica_up", "1 for a replica in rotation.", labels=[*_REVISION, "replica"]
        )
        for app in supervisor.snapshot.apps:
            for revision in app.revisions:
                weight.add_metric([app.name, revision.name], revision.weight / 100)
                active.add_metric([app.name, revision.name], 1)
                for endpoint in revision.endpoints:
                    up.add_metric([app.name, revision.name, endpoint.replica], 1)
        share = GaugeMetricFamily(
            "turnout_revision_share_ratio", "Share observed in the last minute.", labels=_REVISION
        )
        for key, ratio in supervisor.shares.ratios().items():
            share.add_metric(list(key), ratio)
        pool = GaugeMetricFamily(
            "turnout_upstream_connections",
            "Connections to replicas.",
            labels=[*_REVISION, "state"],
        )
        for name, (busy, idle, connecting) in supervisor.upstream_connections().items():
            app_name = name.partition("--")[0]
            pool.add_metric([app_name, name, "active"], busy)
            pool.add_metric([app_name, name, "idle"], idle)
            pool.add_metric([app_name, name, "connecting"], connecting)
        queued = GaugeMetricFamily(
            "turnout_requests_queued", "Requests waiting for room at a replica.", labels=_REVISION
        )
        for name, n in supervisor.queued().items():
            queued.add_metric([name.partition("--")[0], name], n)
        yield from (weight, active, share, up, pool, queued)

    def _process(self, totals: Totals) -> Iterable[Metric]:
        s = self._supervisor
        yield _gauge("turnout_connections_open", "Open client connections.", s.connections_open())
        yield _gauge(
            "turnout_clients_stalled",
            "Clients that read slower than they are sent to.",
            s.clients_stalled(),
        )
        yield _gauge("turnout_table_version", "Version of the table in force.", s.snapshot.version)
        reloads = CounterMetricFamily(
            "turnout_table_reloads", "Tables taken or refused.", labels=["result"]
        )
        reloads.add_metric(["success"], s.reloads.succeeded)
        reloads.add_metric(["failure"], s.reloads.failed)
        yield reloads
        yield _gauge(
            "turnout_discovery_conflicts",
            "Contradictions among container labels that were settled by rule.",
            len(s.snapshot.problems),
        )
        yield _gauge(
            "turnout_apps_refused",
            "Apps whose newest version is not routed; the last good one is, if there is one.",
            len(s.snapshot.refused),
        )
        yield _gauge(
            "turnout_table_last_reload_success_timestamp_seconds",
            "When a table was last taken, in Unix time.",
            s.reloads.last_success,
        )
        yield _gauge(
            "turnout_table_reload_seconds",
            "How long the last table took from receipt until every worker routed by it.",
            s.reloads.last_seconds,
        )
        heard = GaugeMetricFamily(
            "turnout_control_heard_timestamp_seconds",
            "When the control plane last said something, in Unix time, where one is followed.",
        )
        if s.settings.control:
            heard.add_metric([], s.source.heard_at)
        yield heard
        yield _gauge("turnout_workers", "Workers that route.", s.workers_ready())
        restarts = CounterMetricFamily("turnout_worker_restarts", "Workers that were replaced.")
        restarts.add_metric([], s.keeper.restarts)
        yield restarts
        dropped = CounterMetricFamily(
            "turnout_access_log_dropped", "Lines of the access log that could not be written."
        )
        dropped.add_metric([], totals.log_dropped)
        yield dropped
        yield _spans(s.keeper.spans)
        refused = CounterMetricFamily(
            "turnout_accept_errors",
            "Connections refused for want of descriptors, or above the limit and not told so.",
            labels=["reason"],
        )
        for reason, n in totals.accept_errors.items():
            refused.add_metric([reason], n)
        yield refused
        build = GaugeMetricFamily(
            "turnout_build_info",
            "The version, and whether what a request touches is compiled.",
            labels=["version", "build"],
        )
        build.add_metric([__version__, build_kind()], 1)
        yield build


def _requests(totals: Totals, traced: Mapping[Key, Span]) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "turnout_requests", "Requests by final status.", labels=[*_REVISION, "code"]
    )
    retries = CounterMetricFamily(
        "turnout_retries",
        "Attempts made again, counted against the revision that failed first.",
        labels=[*_REVISION, "reason"],
    )
    ejections = CounterMetricFamily(
        "turnout_ejections", "Times a failing replica was passed over.", labels=_REVISION
    )
    duration = HistogramMetricFamily(
        "turnout_request_duration_seconds", "From head read to answer sent.", labels=_REVISION
    )
    upstream = HistogramMetricFamily(
        "turnout_upstream_duration_seconds", "From head sent to answer read.", labels=_REVISION
    )
    in_flight = GaugeMetricFamily(
        "turnout_requests_in_flight", "Requests being answered.", labels=_REVISION
    )
    received = CounterMetricFamily(
        "turnout_request_bytes", "Bytes of request bodies.", labels=_REVISION
    )
    sent = CounterMetricFamily(
        "turnout_response_bytes", "Bytes of response bodies.", labels=_REVISION
    )
    tunnels = GaugeMetricFamily(
        "turnout_websockets_open", "Open WebSockets and other tunnels.", labels=_REVISION
    )
    for key, total in sorted(totals.revisions.items()):
        labels = list(key)
        for code, n in sorted(total.codes.items()):
            requests.add_metric([*labels, code], n)
        for reason, n in sorted(total.retries.items()):
            retries.add_metric([*labels, reason], n)
        buckets = _cumulative(total.duration)
        if key in traced:
            buckets = _with_exemplar(buckets, traced[key])
        duration.add_metric(labels, buckets, total.duration.total)
        upstream.add_metric(
            labels, _cumulative(total.upstream_duration), total.upstream_duration.total
        )
        ejections.add_metric(labels, total.ejections)
        in_flight.add_metric(labels, total.in_flight)
        received.add_metric(labels, total.request_bytes)
        sent.add_metric(labels, total.response_bytes)
        tunnels.add_metric(labels, total.tunnels)
    failed = CounterMetricFamily(
        "turnout_errors",
        "Answers made by the edge, and answers cut short.",
        labels=["app", "reason"],
    )
    for (app, reason), n in sorted(totals.errors.items()):
        failed.add_metric([app, reason], n)
    overhead = HistogramMetricFamily(
        "turnout_overhead_seconds", "Time to choose, queue and connect before a request is sent."
    )
    overhead.add_metric([], _cumulative(totals.overhead), totals.overhead.total)
    yield from (requests, duration, upstream, overhead, in_flight, received, sent, failed)
    yield from (retries, ejections, tunnels)


def _spans(exporter: Exporter | None) -> Metric:
    spans = CounterMetricFamily(
        "turnout_spans",
        "Spans that a collector took, refused or did not answer, or that there was no room for.",
        labels=["result"],
    )
    if exporter is not None:
        spans.add_metric(["exported"], exporter.exported)
        spans.add_metric(["refused"], exporter.refused)
        spans.add_metric(["overflown"], exporter.overflown)
    return spans


def _cumulative(histogram: HistogramTotal) -> list[Bucket]:
    bounds = [*(str(b) for b in BUCKETS), "+Inf"]
    running = 0
    buckets: list[Bucket] = []
    for bound, n in zip(bounds, histogram.counts, strict=True):
        running += n
        buckets.append((bound, float(running)))
    return buckets


def _with_exemplar(buckets: list[Bucket], span: Span) -> list[Bucket]:
    """With the trace of the last request that has one, at the bucket which counts it."""
    at = bisect_left(BUCKETS, span.seconds)
    bound, n = buckets[at][:2]
    example = Exemplar({"trace_id": span.trace_id}, span.seconds, span.ended_at)
    return [*buckets[:at], (bound, n, example), *buckets[at + 1 :]]


def _gauge(name: str, doc: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, doc, value=value)

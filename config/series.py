"""The series that turnout exposes, and a check of PromQL against them.

No dashboard and no rule names what is not there: the list is read from the collectors
themselves, those of a router and a control plane that have nothing to do.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
from prometheus_client import Metric

from control.ops.health import Health
from control.ops.metrics import ControlCollector, ControlCounters
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store
from router.contract.settings import RouterSettings
from router.contract.snapshot import Snapshot
from router.sources.source import Reporter
from router.supervisor.metrics import RouterCollector
from router.supervisor.supervisor import Supervisor

Series = Mapping[str, frozenset[str]]  # labels by name

_OF_PROMETHEUS = frozenset({"instance", "job"})  # which it adds to every series


class UnknownSeries(ValueError):
    """A name or a label that turnout has not, or an operation that finds no pair."""


class _Nothing:
    """A source without tables."""

    heard_at = 0.0

    async def follow(self, _: Reporter) -> AsyncIterator[Snapshot | str]:
        return
        yield

    def hurry(self) -> None:
        pass

    async def kept(self) -> None:
        pass


def exposed() -> Series:
    """Every series that a scrape of `turnout up` may hold, and the `up` of Prometheus itself."""
    found = {name: labels for family in _families() for name, labels in _series(family)}
    return {**found, "up": _OF_PROMETHEUS}


def _families() -> Iterator[Metric]:
    yield from RouterCollector(Supervisor(RouterSettings(), _Nothing())).collect()
    with tempfile.TemporaryDirectory() as folder:
        store, counters = Store(Path(folder) / "control.db"), ControlCounters()
        publisher = Publisher(store, "localhost", lease_s=1)
        health = Health(store, publisher, Quarantine(store, publisher))
        yield from ControlCollector(store, health, counters).collect()
        yield from counters.registry.collect()
        store.close()


def _series(family: Metric) -> Iterator[tuple[str, frozenset[str]]]:
    """A family without samples names its labels in a private attribute only."""
    labels = _OF_PROMETHEUS | frozenset(vars(family).get("_labelnames", ()))
    if family.type == "histogram":
        yield f"{family.name}_bucket", labels | {"le"}
        yield f"{family.name}_count", labels
        yield f"{family.name}_sum", labels
    else:
        yield family.name + ("_total" if family.type == "counter" else ""), labels


def labels_of(expression: str, series: Series) -> frozenset[str]:
    """The labels of what an expression gives. Raises UnknownSeries."""
    try:
        return _labels(promql.parse(expression), series)
    except UnknownSeries as error:
        raise UnknownSeries(f"{error}: {expression}") from None


def _labels(node: Any, series: Series) -> frozenset[str]:
    match node:
        case promql.VectorSelector():
            return _selected(node, series)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, series)
        case promql.AggregateExpr():
            return _aggregated(node, series)
        case promql.Call():
            used = (_labels(arg, series) for arg in node.args)
            dropped = {"le"} if node.func.name == "histogram_quantile" else set()
            return frozenset().union(*used) - dropped
        case promql.BinaryExpr():
            return _combined(node, series)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr, series)
    return frozenset()  # a literal


def _selected(node: Any, series: Series) -> frozenset[str]:
    if node.name not in series:
        raise UnknownSeries(f"there is no series {node.name}")
    _must_have(series[node.name], (m.name for m in node.matchers.matchers), node.name)
    return series[node.name]


def _aggregated(node: Any, series: Series) -> frozenset[str]:
    inner, modifier = _labels(node.expr, series), node.modifier
    if modifier is None:
        return frozenset()
    _must_have(inner, modifier.labels, str(node.op))
    named = frozenset(modifier.labels)
    return named if modifier.type == promql.AggModifierType.By else inner - named


def _combined(node: Any, series: Series) -> frozenset[str]:
    left, right = _labels(node.lhs, series), _labels(node.rhs, series)
    if _is_scalar(node.lhs) or _is_scalar(node.rhs):
        return left | right
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is None:
        if left != right:
            raise UnknownSeries(f"{sorted(left)} and {sorted(right)} never match")
        return left
    _must_have(left & right, matching.labels, str(node.op))
    return left


def _is_scalar(node: Any) -> bool:
    """Whether it is a number, which goes with any series."""
    match node:
        case promql.NumberLiteral():
            return True
        case promql.Call():
            return node.func.name in ("time", "scalar")
        case promql.BinaryExpr():
            return _is_scalar(node.lhs) and _is_scalar(node.rhs)
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_scalar(node.expr)
    return False


def _must_have(labels: frozenset[str], wanted: Iterable[str], what: str) -> None:
    for name in wanted:
        if name not in labels:
            raise UnknownSeries(f"{what} has no label {name}")

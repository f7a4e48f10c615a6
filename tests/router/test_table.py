from __future__ import annotations

import time
from dataclasses import replace

import pytest

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.contract.snapshot import Fault
from router.routing.table import Compiler, FaultRoute, Route
from tests.support.builders import a_revision, an_app, an_edge, take

SHOP = an_app(
    a_revision("v1", 80),
    a_revision("v2", 20, labels=["staging", "next"]),
    a_revision("v3", 0),
    hosts=["shop.example.com", "*.shops.example.com"],
)


@pytest.mark.parametrize(
    ("host", "reason", "revision"),
    [
        (b"shop.localhost", "weight", None),
        (b"shop.example.com", "weight", None),
        (b"any.shops.example.com", "weight", None),
        (b"shop--v1.localhost", "revision", "shop--v1"),
        (b"shop--v3.localhost", "revision", "shop--v3"),
        (b"shop---staging.localhost", "label", "shop--v2"),
        (b"shop---next.localhost", "label", "shop--v2"),
        (b"shop---staging.shops.example.com", "label", "shop--v2"),
        (b"shop--v1.shops.example.com", "revision", "shop--v1"),
    ],
)
async def test_a_host_leads_to_its_route(host: bytes, reason: str, revision: str | None) -> None:
    found = an_edge(SHOP).table.lookup(host)

    assert isinstance(found, Route)
    assert found.reason == reason
    if revision is not None:
        chosen = found.revision()
        assert chosen is not None
        assert chosen.name == revision


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        (b"other.localhost", outcomes.HOST_NOT_FOUND),
        (b"localhost", outcomes.HOST_NOT_FOUND),
        (b"shop.localhost.evil.com", outcomes.HOST_NOT_FOUND),
        (b"evil-shop.localhost", outcomes.HOST_NOT_FOUND),
        (b"a.b.shops.example.com", outcomes.HOST_NOT_FOUND),
        (b"shop---gone.localhost", outcomes.LABEL_NOT_FOUND),
        (b"shop--v9.localhost", outcomes.REVISION_INACTIVE),
        (b"shop---gone.shops.example.com", outcomes.LABEL_NOT_FOUND),
        (b"other---staging.localhost", outcomes.HOST_NOT_FOUND),
        (b"xshop--v1.localhost", outcomes.HOST_NOT_FOUND),
    ],
)
async def test_what_leads_nowhere_says_why(host: bytes, outcome: Outcome) -> None:
    assert an_edge(SHOP).table.lookup(host) is outcome


async def test_revisions_without_ready_replicas_are_skipped() -> None:
    edge = an_edge(an_app(a_revision("v1", 50, endpoints=[]), a_revision("v2", 50)))
    route = edge.table.lookup(b"shop.localhost")

    assert isinstance(route, Route)
    assert {route.revision().name for _ in range(50)} == {"shop--v2"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("app", "outcome"),
    [
        (an_app(), outcomes.APP_STOPPED),
        (an_app(a_revision("v1", 100, endpoints=[])), outcomes.NO_READY_REPLICA),
    ],
)
async def test_an_app_that_cannot_answer_says_why(app: object, outcome: Outcome) -> None:
    route = an_edge(app).table.lookup(b"shop.localhost")  # type: ignore[arg-type]

    assert isinstance(route, Route)
    assert route.revision() is None
    assert route.outcome is outcome


async def test_an_edge_without_a_table_is_not_a_missing_host() -> None:
    edge = an_edge()
    edge.table.version = 0

    assert edge.table.lookup(b"shop.localhost") is outcomes.NO_TABLE


async def test_unchanged_apps_keep_their_routes_and_replicas_keep_what_was_learned() -> None:
    other = an_app(a_revision("v1", 100, app="other"), name="other")
    edge = an_edge(SHOP, other)
    begun = edge.table.lookup(b"shop---staging.localhost")
    assert isinstance(begun, Route)
    staging = begun.fixed
    replica = next(iter(edge.table.apps["shop"].replicas))
    replica.in_flight = 7

    take(edge, an_app(a_revision("v1", 100)), other)

    assert begun.fixed is staging  # a request ends by the route it began with
    assert edge.table.lookup(b"shop---staging.localhost") is outcomes.LABEL_NOT_FOUND
    assert {r.in_flight for r in edge.table.apps["shop"].replicas} <= {0, 7}


async def test_a_replica_that_left_is_reported_while_it_is_busy() -> None:
    edge = an_edge(an_app(a_revision("v1", 100, endpoints=["127.0.0.1:1", "127.0.0.1:2"])))
    leaving = next(r for r in edge.registry if r.port == 2)
    leaving.in_flight = 1

    take(edge, an_app(a_revision("v1", 100, endpoints=["127.0.0.1:1"])))

    assert edge.registry.departed() == {"127.0.0.1:2": 1}
    leaving.in_flight = 0
    edge.registry.forget_departed()
    assert edge.registry.departed() == {}
    assert [r.port for r in edge.registry] == [1]


async def test_the_end_of_a_fault_is_reckoned_once_and_by_the_steady_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edge = an_edge()
    compiler = Compiler(edge.registry, edge.stats)

    def compiled(fault: Fault | None, *endpoints: str) -> FaultRoute | None:
        revision = replace(
            a_revision("v1", 100, endpoints=endpoints or ["127.0.0.1:1"]), fault=fault
        )
        route = compiler.app(an_app(revision), "localhost").hosts[b"shop--v1.localhost"]
        assert route.fixed is not None
        return route.fixed.fault

    def left(fault: Fault) -> float:
        route = compiled(fault)
        assert route is not None
        return route.ends_at - time.monotonic()

    moment = Fault(until=time.time() + 60, abort_percent=1.0)  # as a routes file may name it
    acting = compiled(moment)
    assert left(moment) == pytest.approx(60, abs=30)
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + 3600)
    assert compiled(moment, "127.0.0.1:2") is acting
    assert left(moment) == pytest.approx(60, abs=30)

    span = Fault(until=wall() + 300, abort_percent=1.0, seconds=300)
    assert left(span) == pytest.approx(300, abs=30)
    assert compiled(None) is None
    assert left(moment) < 0  # named again

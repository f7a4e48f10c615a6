"""Apps with `external: false`: not there for the public, there for the networks of a setting."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from router.contract import outcomes
from router.contract.check import check
from router.contract.outcomes import Outcome
from router.contract.routes_file import parse
from router.contract.settings import RouterSettings
from router.contract.snapshot import App, Snapshot, app_from
from router.process.config import BadSettings
from router.routing.table import Route
from tests.support.builders import a_revision, an_app, an_edge, take
from tests.support.edges import running
from tests.support.origin import Origin

SHOP = an_app(a_revision("v1", 100, labels=["blue"]), hosts=["shop.example.com", "*.shops.example"])


def internal(app: App = SHOP) -> App:
    return dataclasses.replace(app, external=False)


HOSTS = [
    b"shop.localhost",
    b"shop--v1.localhost",
    b"shop---blue.localhost",
    b"shop.example.com",
    b"any.shops.example",
]
NOWHERE = [
    (b"shop--v9.localhost", outcomes.REVISION_INACTIVE),
    (b"shop---gone.localhost", outcomes.LABEL_NOT_FOUND),
    (b"other.localhost", outcomes.HOST_NOT_FOUND),
]


@pytest.mark.parametrize("host", [*HOSTS, *(host for host, _ in NOWHERE)])
async def test_no_host_of_an_internal_app_is_there_for_the_public(host: bytes) -> None:
    assert an_edge(internal()).table.lookup(host) is outcomes.HOST_NOT_FOUND


@pytest.mark.parametrize("host", HOSTS)
async def test_each_of_them_is_there_for_the_inside(host: bytes) -> None:
    found = an_edge(internal()).table.lookup_inside(host)
    assert isinstance(found, Route)
    assert found.app == "shop"


@pytest.mark.parametrize(("host", "outcome"), NOWHERE)
async def test_the_inside_hears_why_a_host_leads_nowhere(host: bytes, outcome: Outcome) -> None:
    assert an_edge(internal()).table.lookup_inside(host) is outcome


async def test_an_app_can_become_internal_and_external_again() -> None:
    edge = an_edge(SHOP)
    for app, is_public in ((internal(), False), (SHOP, True), (internal(), False)):
        take(edge, app)
        assert isinstance(edge.table.lookup(b"any.shops.example"), Route) is is_public
        assert isinstance(edge.table.lookup_inside(b"any.shops.example"), Route) is not is_public
    take(edge)
    assert edge.table.lookup_inside(b"shop.localhost") is outcomes.HOST_NOT_FOUND


@pytest.mark.parametrize(
    ("networks", "status"),
    [((), b"404"), (("10.0.0.0/8",), b"404"), (("10.0.0.0/8", "127.0.0.0/8"), b"200")],
)
async def test_a_setting_says_which_clients_are_inside(networks: Any, status: bytes) -> None:
    async with Origin() as origin:
        app = internal(an_app(a_revision("v1", 100, endpoints=[origin.address])))
        async with running(app, internal_networks=networks) as edge:
            client = await edge.client()
            for _ in range(2):
                head, _ = await client.get()
                assert head.split(b" ")[1] == status
            assert (b"X-Turnout-Error: HostNotFound" in head) is (status == b"404")


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(BadSettings, match=r"internal_networks: 'loopback' does not appear"):
        RouterSettings(routes="-", internal_networks=("loopback",)).check()


def test_an_older_table_is_external() -> None:
    assert app_from({"name": "shop"}).external
    wire = {"domain": "localhost", "apps": [orjson.loads(orjson.dumps(internal()))]}
    taken = check(wire)
    assert isinstance(taken, Snapshot)
    assert not taken.apps[0].external


def test_a_routes_file_may_say_it() -> None:
    assert not parse('[[app]]\nname = "shop"\nexternal = false\n').apps[0].external
    assert parse('[[app]]\nname = "shop"\n').apps[0].external

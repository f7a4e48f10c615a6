"""Custom domains: every way to ask for one meets the same rules, and is told the owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control.errors import Invalid
from control.service import Change, Service
from control.store import Store
from tests.control.support import a_service
from tests.support.builders import a_body

ENDPOINT = "endpoint:127.0.0.1:9"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = Store(tmp_path / "control.db")
    yield a_service(store)
    store.close()


def put(service: Service, name: str, *hosts: str) -> None:
    service.transact([a_change(name, *hosts)])


def a_change(name: str, *hosts: str) -> Change:
    ingress = {"customDomains": [{"name": host} for host in hosts]}
    body = a_body(image=ENDPOINT, mode="single", ingress=ingress)
    return Change(name, lambda _: body)


@pytest.mark.parametrize(
    "host", ["blog.example.com", "blog", "*.example.org", "blog--x.example.org"]
)
def test_the_domain_of_another_app_is_refused_by_its_owners_name(
    service: Service, host: str
) -> None:
    put(service, "blog", "blog.example.com", "*.example.org")

    with pytest.raises(Invalid, match="app blog"):
        put(service, "shop", host)
    put(service, "shop", "shop.example.com")


def test_an_app_cannot_be_named_like_a_custom_domain(service: Service) -> None:
    put(service, "blog", "shop")
    with pytest.raises(Invalid, match="custom domain of app blog"):
        put(service, "shop")


@pytest.mark.parametrize(
    "host", ["x.localhost", "localhost", "*.localhost", "Upper.example.com", "a:80"]
)
def test_what_no_router_would_take_is_refused(service: Service, host: str) -> None:
    with pytest.raises(Invalid):
        put(service, "shop", host)


def test_two_apps_exchange_a_domain_in_one_transaction(service: Service) -> None:
    put(service, "blog", "a.example.com")
    put(service, "shop", "b.example.com")

    service.transact([a_change("blog", "b.example.com"), a_change("shop", "a.example.com")])
    with pytest.raises(Invalid, match="app blog"):
        put(service, "able", "b.example.com")


def test_a_transaction_gives_a_domain_to_one_app_only(service: Service) -> None:
    changes = [a_change("blog", "a.example.com"), a_change("shop", "a.example.com")]
    with pytest.raises(Invalid, match="app blog"):
        service.transact(changes)
    put(service, "able", "a.example.com")  # nothing of it was kept


def test_a_rollback_does_not_take_a_domain_that_another_app_has_by_now(service: Service) -> None:
    put(service, "shop", "a.example.com")
    put(service, "shop")
    put(service, "blog", "a.example.com")

    with pytest.raises(Invalid, match="app blog"):
        service.roll_back("shop")
    service.delete("blog")
    service.roll_back("shop")
    with pytest.raises(Invalid, match="app shop"):
        put(service, "blog", "a.example.com")

"""Custom domains: every way to ask for one meets the same rules, and is told the owner."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.changes.changes import Change, Changes
from control.model.errors import Invalid
from control.model.resources import AppView
from control.model.schema import AppBody
from control.rules.domains import check, claimed, follow
from control.store import Store
from router.contract.admission import Admission
from router.contract.domains import Owners
from router.contract.snapshot import App
from tests.control.support import ALICE, World, changes_of
from tests.support.builders import a_body, an_app

ENDPOINT = "endpoint:127.0.0.1:9"


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[Changes]:
    store = Store(tmp_path / "control.db")
    yield changes_of(store)
    store.close()


def put(changes: Changes, name: str, *hosts: str) -> None:
    changes.transact(ALICE, [a_change(name, *hosts)])


def a_change(name: str, *hosts: str) -> Change:
    body = a_body_with(*hosts)
    return Change(name, lambda _: body)


def a_body_with(*hosts: str) -> AppBody:
    ingress = {"customDomains": [{"name": host} for host in hosts]}
    return a_body(image=ENDPOINT, mode="single", ingress=ingress)


@pytest.mark.parametrize(
    "host", ["blog.example.com", "blog", "*.example.org", "blog--x.example.org"]
)
def test_the_domain_of_another_app_is_refused_by_its_owners_name(
    changes: Changes, host: str
) -> None:
    put(changes, "blog", "blog.example.com", "*.example.org")

    with pytest.raises(Invalid, match="app blog"):
        put(changes, "shop", host)
    put(changes, "shop", "shop.example.com")


def test_an_app_cannot_be_named_like_a_custom_domain(changes: Changes) -> None:
    put(changes, "blog", "shop")
    with pytest.raises(Invalid, match="custom domain of app blog"):
        put(changes, "shop")


@pytest.mark.parametrize(
    "host", ["x.localhost", "localhost", "*.localhost", "Upper.example.com", "a:80"]
)
def test_what_no_router_would_take_is_refused(changes: Changes, host: str) -> None:
    with pytest.raises(Invalid):
        put(changes, "shop", host)


def test_two_apps_exchange_a_domain_in_one_transaction(changes: Changes) -> None:
    put(changes, "blog", "a.example.com")
    put(changes, "shop", "b.example.com")

    changes.transact(ALICE, [a_change("blog", "b.example.com"), a_change("shop", "a.example.com")])
    with pytest.raises(Invalid, match="app blog"):
        put(changes, "able", "b.example.com")


def test_a_transaction_gives_a_domain_to_one_app_only(changes: Changes) -> None:
    both = [a_change("blog", "a.example.com"), a_change("shop", "a.example.com")]
    with pytest.raises(Invalid, match="app blog"):
        changes.transact(ALICE, both)
    put(changes, "able", "a.example.com")  # nothing of it was kept


def test_a_transaction_does_not_take_a_domain_from_an_app_that_keeps_it(changes: Changes) -> None:
    put(changes, "blog")
    put(changes, "shop", "shop.example.com")

    keeping = a_body_with("shop.example.com").model_copy(update={"tags": {"new": "yes"}})
    orders = [a_change("blog", "shop.example.com"), Change("shop", lambda _: keeping)]
    for order in (orders, orders[::-1]):
        with pytest.raises(Invalid, match="belongs to app shop"):
            changes.transact(ALICE, order)
    put(changes, "shop")
    put(changes, "blog", "shop.example.com")


def test_an_app_whose_domain_another_took_before_can_still_be_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.db")
    changes = changes_of(store)
    put(changes, "blog", "a.example.com")
    put(changes, "shop")
    stolen = World("shop")
    stolen.deploy(a_body_with("a.example.com"))
    store.write("shop", store.view("shop"), stolen.view)  # as a release that did not ask kept it

    put(changes, "blog", "a.example.com", "b.example.com")
    put(changes, "shop", "a.example.com", "c.example.com")
    assert claimed(store.view("shop")) == ("a.example.com", "c.example.com")
    with pytest.raises(Invalid, match="app blog"):
        put(changes, "shop", "a.example.com", "b.example.com")
    store.close()


NAMES = ["a", "b", "c", "x"]
HOSTS = ["h.ex.com", "g.ex.com", "*.ex.com", "a---l.ex.com", "a--s.ex.com", "b---l.ex.com"]
HOSTS += ["b--s.ex.com", "x", "c", "*.h.ex.com", "a---l.h.ex.com"]


@pytest.mark.parametrize("seed", range(30))
def test_what_is_accepted_is_never_refused_at_admission(seed: int) -> None:
    chance = random.Random(seed)
    owners, admission = Owners(), Admission()
    views = dict.fromkeys(NAMES, AppView(None))
    for _ in range(30):
        changed = {}
        for name in chance.sample(NAMES, chance.choice([1, 1, 2, 3])):
            world = World(name)
            if chance.random() > 0.2:
                world.deploy(a_body_with(*chance.sample(HOSTS, chance.randint(0, 2))))
            changed[name] = (views[name], world.view)
        try:
            check(owners, "localhost", changed)
        except Invalid:
            continue
        for name, (old, new) in changed.items():
            follow(owners, name, old, new)
            views[name] = new
        admission.admit({name: an_app_of(views[name]) for name in changed})
        anew = Admission()
        anew.admit({name: an_app_of(view) for name, view in views.items()})
        assert (admission.refused, anew.refused) == ({}, {})


def an_app_of(view: AppView) -> App | None:
    return an_app(name=view.app.name, hosts=claimed(view)) if view.app is not None else None


def test_a_rollback_does_not_take_a_domain_that_another_app_has_by_now(changes: Changes) -> None:
    put(changes, "shop", "a.example.com")
    put(changes, "shop")
    put(changes, "blog", "a.example.com")

    with pytest.raises(Invalid, match="app blog"):
        changes.roll_back(ALICE, "shop")
    changes.delete(ALICE, "blog")
    changes.roll_back(ALICE, "shop")
    with pytest.raises(Invalid, match="app shop"):
        put(changes, "blog", "a.example.com")

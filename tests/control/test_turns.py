"""A transaction of many apps leaves turns to others, and loses nothing of what they do in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.changes import turn
from control.changes.changes import Change, Changes
from control.changes.preconditions import Conditions
from control.model.errors import Invalid, NotFound, PreconditionFailed
from control.model.resources import AppView
from control.model.schema import AppBody, CustomDomain, Ingress
from control.store import Store
from tests.control.support import ALICE, changes_of
from tests.support.builders import a_body

MANY = 200


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[Changes]:
    store = Store(tmp_path / "control.db")
    made = changes_of(store)
    body = a_body("v1", image="endpoint:127.0.0.1:9")
    made.transact(ALICE, [Change(f"app{n}", lambda _: body) for n in range(MANY)])
    yield made
    store.close()


def with_domain(number: int, host: str = "") -> Change:
    """A patch that gives an app a domain and keeps everything else."""
    domain = CustomDomain(name=host or f"a{number}.example.com")

    def body(view: AppView) -> AppBody:
        assert view.app is not None
        ingress = Ingress(custom_domains=(domain,))
        configuration = view.app.configuration.model_copy(update={"ingress": ingress})
        return AppBody(configuration=configuration, template=view.app.template)

    return Change(f"app{number}", body, is_existing=True)


async def test_others_have_their_turns_and_their_changes_are_kept(
    changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_TURN_S", 0.0)  # each change is a turn, on any machine
    wanted = [with_domain(n) for n in range(MANY)]
    transaction = asyncio.create_task(changes.transact_in_turns(ALICE, wanted))
    turns = 0
    while not transaction.done():
        await asyncio.sleep(0)
        turns += 1
        if turns == 3 and not transaction.done():
            changes.set_secrets(ALICE, "app0", {"key": "value"})
    views = await transaction

    assert turns > MANY
    app = changes.read.app("app0").app
    assert app is not None
    assert app.configuration.secret_values == {"key": "value"}
    for number, view in enumerate(views):
        assert view.app is not None
        assert view.app.configuration.ingress is not None
        (domain,) = view.app.configuration.ingress.custom_domains
        assert domain.name == f"a{number}.example.com"


async def test_all_or_none_of_it_is_done(changes: Changes) -> None:
    wanted = [with_domain(n, "same.example.com" if n > MANY - 3 else "") for n in range(MANY)]
    with pytest.raises(Invalid, match=r"same\.example\.com"):
        await changes.transact_in_turns(ALICE, wanted)

    for view in changes.read.apps():
        assert view.app is not None
        assert view.app.version == 1


async def begun(changes: Changes, *first: Change) -> asyncio.Task[list[AppView]]:
    """A long transaction after its first turn; what it does first is drafted by then."""
    wanted = [*first, *(with_domain(n) for n in range(2, MANY))]
    transaction = asyncio.create_task(changes.transact_in_turns(ALICE, wanted))
    await asyncio.sleep(0)
    assert not transaction.done()
    return transaction


@pytest.mark.parametrize("gone", ["environment", "group"])
async def test_a_place_that_was_deleted_meanwhile_is_missed_by_its_own_transaction_only(
    changes: Changes, gone: str
) -> None:
    changes.places.put_group(ALICE, "away", None, None)
    for group in ("away", "local"):
        changes.places.put_environment(ALICE, group, "mine", None, None)
    place = {"environment": "away/mine"} if gone == "environment" else {"resource_group": "away"}
    body = a_body("v1", image="endpoint:127.0.0.1:9").model_copy(update=place)
    transaction = await begun(changes, Change("new", lambda _: body))
    if gone == "environment":
        changes.places.remove_environment(ALICE, "away", "mine")
    else:
        changes.delete_group(ALICE, "away")

    with pytest.raises((Invalid, NotFound), match=r"mine|away"):
        await transaction
    assert "new" not in [view.app.name for view in changes.read.apps() if view.app is not None]
    assert changes.places.remove_environment(ALICE, "local", "mine")


async def test_a_change_that_changes_nothing_is_asked_about_again_too(changes: Changes) -> None:
    body = a_body("v1", image="endpoint:127.0.0.1:9")
    first = Change("app1", lambda _: body, conditions=Conditions('"1"'))
    transaction = await begun(changes, first)
    changes.set_secrets(ALICE, "app1", {"key": "value"})

    with pytest.raises(PreconditionFailed):
        await transaction

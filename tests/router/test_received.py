"""Tables and deltas from a control plane: what is taken, what is refused, what survives a crash."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.contract.snapshot import App, content_hash, digest
from router.sources.last_good import LastGood
from router.sources.received import Received
from tests.support.builders import a_revision

DOMAIN = "localhost"


def an_app(name: str, version: str = "v1", **given: Any) -> dict[str, Any]:
    app = App(name, "multiple", (), (a_revision(version, 100, app=name),))
    wire: dict[str, Any] = orjson.loads(orjson.dumps(dataclasses.asdict(app)))
    return wire | given


def hash_of(*apps: dict[str, Any]) -> str:
    bodies = (orjson.dumps(app) for app in apps)
    return content_hash(digest(DOMAIN.encode()) + sum(map(digest, bodies)))


def a_table(*apps: dict[str, Any], version: int = 1, epoch: str = "e") -> dict[str, Any]:
    table = {"domain": DOMAIN, "version": version, "epoch": epoch, "apps": list(apps)}
    return table | {"hash": hash_of(*apps)}


def a_delta(
    received: Received, *changed: dict[str, Any], then: list[dict[str, Any]], dropped: Any = ()
) -> dict[str, Any]:
    return {
        "base": received.known,
        "epoch": received.epoch,
        "version": received.version + 1,
        "hash": hash_of(*then),
        "changed": list(changed),
        "dropped": list(dropped),
    }


def routed(received: Received) -> dict[str, list[str]]:
    return {app.name: [r.name for r in app.revisions] for app in received.snapshot().apps}


def test_a_bad_app_is_refused_alone() -> None:
    received = Received()
    bad = an_app("shop", hosts=["x.localhost"])

    assert received.take(a_table(bad, an_app("blog"))) == ""
    assert routed(received) == {"blog": ["blog--v1"]}
    assert "lies under the domain" in received.refused["shop"]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "shop", "revisions": "none"},
        an_app("shop", "v2", mode="unheard of"),
        an_app("shop", "v2", hosts=["blog"]),
        an_app("shop", "v2", hosts=["*.*.example.com"]),
    ],
)
def test_an_app_that_turns_bad_keeps_its_last_good_version(bad: dict[str, Any]) -> None:
    received = Received()
    received.take(a_table(an_app("shop"), an_app("blog")))

    blog = an_app("blog", "v2")
    assert received.take(a_table(bad, blog, version=2)) == ""

    assert routed(received) == {"shop": ["shop--v1"], "blog": ["blog--v2"]}
    assert set(received.refused) == {"shop"}
    assert received.snapshot().version == 2


@pytest.mark.parametrize("nameless", [7, None, {"revisions": []}, {"name": 5}, an_app("blog")])
def test_what_has_no_name_of_its_own_is_refused_by_its_place(nameless: Any) -> None:
    received = Received()

    assert received.take(a_table(an_app("blog"), nameless)) == ""
    assert routed(received) == {"blog": ["blog--v1"]}
    assert set(received.refused) == {"apps[1]"}


@pytest.mark.parametrize(
    "wire",
    [7, [], {}, {"domain": "localhost"}, a_table() | {"hash": "00"}, a_table() | {"apps": 7}],
)
def test_what_is_not_a_table_changes_nothing(wire: Any) -> None:
    received = Received()
    received.take(a_table(an_app("shop")))
    before = received.known

    assert received.take(wire) != ""
    assert received.known == before
    assert routed(received) == {"shop": ["shop--v1"]}


def test_a_delta_changes_what_it_names_and_leaves_the_rest_the_same_objects() -> None:
    received = Received()
    received.take(a_table(an_app("shop"), an_app("blog"), an_app("old")))
    blog = next(a for a in received.snapshot().apps if a.name == "blog")

    new, added = an_app("shop", "v2"), an_app("able")
    delta = a_delta(received, new, added, then=[new, added, an_app("blog")], dropped=["old"])

    assert received.take(delta) == ""
    assert routed(received) == {"shop": ["shop--v2"], "blog": ["blog--v1"], "able": ["able--v1"]}
    assert any(app is blog for app in received.snapshot().apps)
    assert received.hash == delta["hash"]


def test_a_delta_that_begins_elsewhere_or_ends_elsewhere_is_not_taken() -> None:
    received = Received()
    received.take(a_table(an_app("shop")))
    new = an_app("shop", "v2")
    good = a_delta(received, new, then=[new])

    assert "another table" in received.take(good | {"base": {**good["base"], "version": 7}})
    assert "do not lead" in received.take(good | {"hash": hash_of(an_app("shop"))})
    assert routed(received) == {"shop": ["shop--v1"]}
    assert received.take(good) == ""


@pytest.mark.parametrize("dropped", [["old", "old"], ["old", "shop"]])
def test_a_delta_that_takes_an_app_off_twice_is_not_taken_by_half(dropped: list[str]) -> None:
    received = Received()
    shop, old = an_app("shop"), an_app("old")
    received.take(a_table(shop, old))
    known, before = received.known, received.whole()
    new = an_app("shop", "v2")
    twice = {"old": old, "shop": shop}[dropped[1]]
    apps = [new, shop, old]
    total = digest(DOMAIN.encode()) + sum(digest(orjson.dumps(a)) for a in apps)
    total -= sum(digest(orjson.dumps(a)) for a in (shop, old, twice))

    delta = a_delta(received, new, then=[], dropped=dropped) | {"hash": content_hash(total)}

    assert "do not lead" in received.take(delta)
    assert (received.known, received.whole()) == (known, before)
    assert received.take(a_delta(received, new, then=[new, old])) == ""


@pytest.mark.parametrize("nameless", [7, None, {"revisions": []}, {"name": 5}, an_app("shop")])
def test_a_delta_with_an_app_that_has_no_name_of_its_own_is_refused(nameless: Any) -> None:
    received = Received()
    received.take(a_table(an_app("shop")))
    before = received.whole()
    new = an_app("shop", "v2")

    wrong = received.take(a_delta(received, new, nameless, then=[new, nameless]))

    assert wrong == "changed[1] has no name of its own; each app of a delta is named, and once"
    assert received.whole() == before


def kept(folder: Path) -> LastGood:
    last = LastGood(folder)
    received = last.load()
    received.take(a_table(an_app("shop"), an_app("blog")))
    last.keep(received.whole())
    return last


def test_the_last_good_table_is_whole_with_every_delta_that_was_kept(tmp_path: Path) -> None:
    last = kept(tmp_path)
    received = last.load()
    for number in range(2, 6):
        new = an_app("shop", f"v{number}")
        delta = a_delta(received, new, then=[new, an_app("blog")])
        assert received.take(delta) == ""
        assert last.append(delta)
        again = LastGood(tmp_path).load()
        assert again.known == received.known
        assert routed(again) == routed(received)


def test_a_crash_at_any_byte_of_an_append_leaves_a_table_that_was_complete(tmp_path: Path) -> None:
    last = kept(tmp_path)
    received = last.load()
    table = received.known
    new = an_app("shop", "v2")
    delta = a_delta(received, new, then=[new, an_app("blog")])
    last.append(delta)
    content = (tmp_path / "table.log").read_bytes()
    for end in range(len(content)):
        (tmp_path / "table.log").write_bytes(content[:end])
        torn = LastGood(tmp_path)
        assert torn.load().known == table
        assert torn.append(delta) == (end == 0)  # nothing is appended behind a torn line


def test_a_log_that_is_older_than_its_table_is_left_out(tmp_path: Path) -> None:
    last = kept(tmp_path)
    received = last.load()
    for version in ("v2", "v1"):  # so that the content is what it was before
        new = an_app("shop", version)
        delta = a_delta(received, new, then=[new, an_app("blog")])
        received.take(delta)
        last.append(delta)
    log = (tmp_path / "table.log").read_bytes()
    last.keep(received.whole())
    (tmp_path / "table.log").write_bytes(log)  # as after a crash between the two

    assert LastGood(tmp_path).load().known == received.known


def test_a_refused_app_is_served_as_it_was_also_after_a_restart(tmp_path: Path) -> None:
    last = kept(tmp_path)
    received = last.load()
    received.take(a_table(an_app("shop", mode="unheard of"), an_app("blog"), version=2))
    last.keep(received.whole())

    again = LastGood(tmp_path).load()
    assert routed(again) == {"shop": ["shop--v1"], "blog": ["blog--v1"]}
    assert set(again.refused) == {"shop"}
    assert again.known == received.known


def test_a_last_good_table_that_cannot_be_read_is_no_table(tmp_path: Path) -> None:
    kept(tmp_path)
    (tmp_path / "table.json").write_bytes(b'{"domain": "local')
    assert LastGood(tmp_path).load().version == 0

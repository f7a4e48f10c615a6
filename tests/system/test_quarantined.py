"""Apps with records that cannot be read are deleted like any other, on every way in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.azure import an_app, app_path, environment_path, group_path
from tests.support.turnout import Turnout, run, until

pytestmark = pytest.mark.system

DAMAGE = {
    "the app's": "UPDATE apps SET doc = x'ff00' WHERE name = 'shop'",
    "a revision's": "UPDATE revisions SET doc = '{}' WHERE app = 'shop'",
}


@pytest.fixture(params=DAMAGE.values(), ids=DAMAGE)
def control(state: Path, request: pytest.FixtureRequest) -> Iterator[Turnout]:
    """Apps shop, which is quarantined, and cafe in group one, blog in group two."""
    flags = {"admin": "127.0.0.1:0", "state": state}
    with Turnout("control", **flags) as server:
        for group in ("one", "two"):
            server.must("PUT", group_path(group), {"location": "local"})
        server.must("PUT", environment_path("one", "env"), {"location": "local"})
        for group, name in (("one", "shop"), ("one", "cafe"), ("two", "blog")):
            server.must("PUT", app_path(group, name), an_app(environment_path("one", "env")))
    with closing(sqlite3.connect(state / "control.db", isolation_level=None)) as db:
        assert db.execute(request.param).rowcount == 1
    with Turnout("control", **flags) as server:
        assert quarantined(server) == ["shop"]
        yield server


def quarantined(server: Turnout) -> list[str]:
    return list(server.must("GET", "/v1/apps").get("quarantined", {}))


def names(server: Turnout) -> list[str]:
    return [app["name"] for app in server.must("GET", "/v1/apps")["value"]]


def test_azures_delete_takes_it_through_its_own_group_only(control: Turnout) -> None:
    assert control.call("GET", app_path("two", "shop"))[0] == 404
    assert control.call("DELETE", app_path("two", "shop"))[0] == 204
    assert quarantined(control) == ["shop"]

    status, answer = control.call("GET", app_path("one", "shop"))
    assert (status, answer["error"]["code"]) == (409, "AppQuarantined")
    assert control.call("DELETE", app_path("one", "SHOP"))[0] == 202
    until(lambda: quarantined(control) == [])
    assert control.call("GET", app_path("one", "shop"))[0] == 404
    assert names(control) == ["blog", "cafe"]
    last = control.must("GET", "/v1/journal?app=shop")["value"][0]
    assert last["changes"] == ["app deleted"]


def test_the_command_deletes_it(control: Turnout) -> None:
    done = run("app", "delete", "shop", "--yes", server=control.server)
    assert (done.returncode, done.stdout) == (0, "shop deleted\n")
    until(lambda: quarantined(control) == [])
    again = run("app", "delete", "shop", "--yes", server=control.server)
    assert again.returncode == 1
    assert "there is no app shop" in again.stderr


def test_a_dry_run_leaves_it(control: Turnout) -> None:
    for path in ("/v1/apps/shop", app_path("one", "shop")):
        assert control.call("DELETE", f"{path}?dryRun=true")[0] == 200
    assert quarantined(control) == ["shop"]


def test_it_goes_with_its_group(control: Turnout) -> None:
    used = control.call("DELETE", environment_path("one", "env"))
    assert used[0] == 409
    assert "blog, cafe, shop" in used[1]["error"]["message"]
    assert control.call("DELETE", group_path("two"))[0] == 200
    assert quarantined(control) == ["shop"]

    assert control.call("DELETE", group_path("one"))[0] == 200
    assert names(control) == []
    until(lambda: quarantined(control) == [])
    assert control.call("PUT", group_path("one"), {"location": "local"})[0] == 201
    body = an_app(environment_path("local", "local"))
    assert control.call("PUT", app_path("one", "shop"), body)[0] == 201


def test_one_whose_group_nobody_knows_is_named_before_a_group_goes(control: Turnout) -> None:
    state = Path(str(control.settings["state"]))
    control.stop()
    with closing(sqlite3.connect(state / "control.db", isolation_level=None)) as db:
        db.execute("UPDATE apps SET doc = '{}' WHERE name = 'shop'")
        db.execute("DELETE FROM journal WHERE app = 'shop'")
    with Turnout("control", **control.settings) as server:
        status, answer = server.call("DELETE", group_path("two"))
        assert (status, "delete them first: shop" in answer["error"]["message"]) == (409, True)
        assert server.call("DELETE", app_path("two", "shop"))[0] == 202
        assert server.call("DELETE", group_path("two"))[0] == 200

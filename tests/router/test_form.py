"""What a table may be made of: strictly, with a place and a sentence for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from router.contract.check import check, check_app
from router.contract.snapshot import App, Endpoint, Fault, Snapshot

NAN = float("nan")


def an_app(**given: Any) -> dict[str, Any]:
    return {"name": "shop", "revisions": [{"name": "shop--v1", "weight": 100} | given]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": True}, "weight: write a whole number"),
        ({"weight": 99.0}, "weight: write a whole number"),
        ({"labels": ("a",)}, "labels: write a list"),
        ({"labels": [7]}, "labels[0]: write a text"),
        ({"endpoints": [{"address": "127.0.0.1:1"}]}, "endpoints[0].replica: is missing"),
        ({"endpoints": [7]}, "endpoints[0]: write an object"),
        ({"fault": {}}, "fault.until: is missing"),
        ({"fault": {"until": 1, "delay_percent": 101}}, "fault.delay_percent: write at most 100"),
        ({"fault": {"until": 1, "delay_percent": NAN}}, "fault.delay_percent: write at least 0"),
        ({"fault": {"until": 1, "abort_status": 200}}, "fault.abort_status: write at least 400"),
        ({"fault": {"until": "now"}}, "fault.until: write a number"),
        ({"name": ""}, "name: write at least 1 characters"),
        ({"name": "x" * 254}, "name: write at most 253 characters"),
    ],
    ids=str,
)
def test_a_mistake_has_a_place_and_a_sentence(given: dict[str, Any], said: str) -> None:
    problems = check_app(an_app(**given), "localhost")
    assert isinstance(problems, list)
    assert [str(problem) for problem in problems] == [f"revisions[0].{said}"]


@pytest.mark.parametrize("wire", [None, [], 7, "apps"])
def test_what_is_no_object_is_no_table(wire: Any) -> None:
    assert [str(problem) for problem in check(wire)] == ["write an object"]  # type: ignore[union-attr]


def test_a_newer_message_has_keys_that_this_router_does_not_know() -> None:
    app = an_app(fault={"until": 1, "new": 1}, new=1) | {"new": 1}
    found = check({"apps": [app], "new": 1})
    assert isinstance(found, Snapshot)
    assert found.apps[0].revisions[0].fault == Fault(1.0)


def test_what_is_left_out_has_its_default() -> None:
    app = check_app(an_app(endpoints=["127.0.0.1:1"], fault=None), "localhost")
    assert isinstance(app, App)
    assert (app.mode, app.hosts, app.external) == ("single", (), True)
    (revision,) = app.revisions
    assert revision.endpoints == (Endpoint("127.0.0.1:1", "127.0.0.1:1"),)
    assert (revision.labels, revision.fault) == ((), None)

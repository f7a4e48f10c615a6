from __future__ import annotations

from pathlib import Path

import pytest

from router.contract.check import check
from router.contract.routes_file import BadRoutes, parse
from router.contract.snapshot import Snapshot

GOOD = """
domain = "localhost"

[[app]]
name = "shop"
mode = "multiple"
hosts = ["shop.example.com"]

[[app.revision]]
name = "shop--v1"
weight = 80
endpoints = ["127.0.0.1:9001", "127.0.0.1:9011"]

[[app.revision]]
name = "shop--v2"
weight = 20
labels = ["staging"]
endpoints = ["127.0.0.1:9002"]

[[app]]
name = "other"

[[app.revision]]
name = "other--v1"
weight = 100
endpoints = []
"""


def test_a_good_file_is_read() -> None:
    shop, other = parse(GOOD).apps

    assert [r.weight for r in shop.revisions] == [80, 20]
    assert shop.revisions[1].labels == ("staging",)
    assert other.mode == "single"


@pytest.mark.parametrize("path", sorted(Path("config").glob("*routes*.toml")), ids=str)
def test_the_examples_are_good(path: Path) -> None:
    assert parse(path.read_text()).apps


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("weight = 20", "weight = 30", 4, "sum to 110"),
        ("weight = 20", "weight = -20", 16, "not within 0 to 100"),
        ('labels = ["staging"]', 'labels = ["-x"]', 17, "no label"),
        ('name = "shop--v2"', 'name = "shop-v2"', 15, "not shop--SUFFIX"),
        ('name = "shop--v2"', 'name = "shop--v1"', 10, "twice"),
        ('mode = "multiple"', 'mode = "several"', 6, "'single'"),
        ('mode = "multiple"', 'mode = "single"', 6, "single mode"),
        ('"127.0.0.1:9002"', '"127.0.0.1"', 18, "HOST:PORT"),
        ('"127.0.0.1:9002"', '"127.0.0.1:0"', 18, "1 to 65535"),
        ("weight = 20", "wieght = 20", 16, "unknown key"),
        ('name = "shop"', 'name = "Shop"', 5, "no app name"),
        ('hosts = ["shop.example.com"]', 'hosts = ["x.localhost"]', 7, "under the domain"),
        ('name = "other"', 'name = "shop"', 21, "twice"),
        ('domain = "localhost"', "domain = ", 2, "Invalid value"),
    ],
)
def test_a_bad_file_is_refused_with_line_and_reason(
    old: str, new: str, line: int, says: str
) -> None:
    with pytest.raises(BadRoutes) as caught:
        parse(GOOD.replace(old, new, 1))

    assert any(at == line and says in message for at, message in caught.value.problems), (
        caught.value.problems
    )


def test_every_problem_is_reported_at_once() -> None:
    bad = GOOD.replace("weight = 20", "weight = 200").replace("9001", "x").replace("9002", "y")

    with pytest.raises(BadRoutes) as caught:
        parse(bad)

    assert len(caught.value.problems) == 4  # the sum of the weights too


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([('"shop.example.com"', '"x.localhost"'), ("weight = 20", 'weight = "x"')],
         ["7: hosts: ", "16: weight: "]),
        ([('"127.0.0.1:9002"', '"127.0.0.1"'), ("weight = 20", "wieght = 20")],
         ["16: wieght: ", "18: endpoints: "]),
        ([('labels = ["staging"]', 'labels = ["-x", 5]'), ("weight = 20", "weight = 30")],
         ["4: apps: the weights sum to 110", "17: labels: "]),
        ([('mode = "multiple"', 'mdoe = "multiple"'), ("weight = 20", "weight = 30")],
         ["4: apps: the weights sum to 110", "6: mdoe: "]),
        ([('name = "shop--v2"', "nmae = 5"), ('name = "other"', 'name = "Other"')],
         ["14: name: is missing", "15: nmae: ", "21: name: ", "24: name: "]),
        ([('name = "other"', "name = 5"), ("weight = 20", "weight = 30")],
         ["4: apps: the weights sum to 110", "21: name: "]),
        ([('hosts = ["shop.example.com"]', "hosts = 5"), ('"127.0.0.1:9002"', "5")],
         ["7: hosts: ", "18: endpoints: "]),
        ([('domain = "localhost"', "domain = 5"), ('labels = ["staging"]', 'labels = ["-x"]')],
         ["2: domain: ", "17: labels: "]),
    ],
)  # fmt: skip
def test_what_has_the_wrong_form_hides_nothing_else_and_has_no_consequences(
    changes: list[tuple[str, str]], says: list[str]
) -> None:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(BadRoutes) as caught:
        parse(text)
    told = [f"{line}: {message}" for line, message in caught.value.problems]
    assert len(told) == len(says), told
    assert all(t.startswith(s) for t, s in zip(told, says, strict=True)), told


@pytest.mark.parametrize(
    "wire", [None, 5, [], {"apps": 5}, {"apps": [5, {}]}, {"apps": [{"name": "a", "revisions": 5}]},
             {"apps": [{"name": "a", "revisions": [{"name": "a--b", "fault": {}}]}]},
             {"apps": [{"name": "a", "revisions": [{"name": "a--b", "labels": [[]]}]}]},
             {"apps": [{"name": "a", "revisions": [{"endpoints": [{"replica": 3}, 4]}, 5]}]}],
)  # fmt: skip
def test_any_wrong_form_is_told(wire: object) -> None:
    assert check(wire, is_file=True)
    assert not isinstance(check(wire), Snapshot)


def test_the_wire_ignores_what_a_newer_control_plane_adds() -> None:
    wire = {
        "domain": "localhost",
        "later": 1,
        "apps": [{"name": "shop", "later": 2, "revisions": []}],
    }

    assert isinstance(check(wire), Snapshot)
    assert isinstance(check(wire, is_file=True), list)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 990 + "]" * 990,
        "x = " + "{a=" * 990 + "1" + "}" * 990,
        "[" + ".".join(["a"] * 2000) + "]",
        "[[app]]\nname = " + "[" * 300 + "]" * 300,
    ],
)
def test_a_deep_file_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadRoutes):
        parse(text)


def test_wrong_kinds_are_said_in_words_for_people() -> None:
    text = '[[app]]\nname = 3\nmode = "x"\n[[app.revision]]\nweight = "much"\nendpoints = "y"\n'
    with pytest.raises(BadRoutes) as caught:
        parse(text)
    said = dict(caught.value.problems)
    assert said[2] == "name: write a text"
    assert said[3] == "mode: write 'single', 'multiple' or 'labels'"
    assert said[5] == "weight: write a whole number"
    assert said[6] == "endpoints: write a list"

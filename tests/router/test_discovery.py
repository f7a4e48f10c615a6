"""Container labels as a table: what they mean, what is refused, how contradictions end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.contract.check import check
from router.contract.outcomes import NO_READY_REPLICA
from router.contract.snapshot import App, Snapshot
from router.routing.table import Route
from router.sources.docker.absent import Absent
from router.sources.docker.labels import Container, Probe, Replica, read
from router.sources.docker.rules import combine, table
from tests.support.builders import an_edge


def a_container(
    name: str = "web-1", *, created: float = 1.0, image: str = "shop:v1", **labels: str
) -> Container:
    given = {f"turnout.{key.replace('_', '.')}": value for key, value in labels.items()}
    return Container(
        id=name, name=name, image=image, image_id="sha256:0123456789abcdef", created=created,
        labels={"turnout.enable": "true", "turnout.app": "shop"} | given,
        address="10.0.0.2", ports=(8080,),
    )  # fmt: skip


def a_replica(name: str, revision: str, created: float, **labels: str) -> Replica:
    found = read(a_container(name, created=created, revision=revision, **labels))
    assert isinstance(found, Replica), found
    return found


def app_of(*replicas: Replica, ready: set[str] | None = None) -> tuple[App, list[str]]:
    """The one app, and the problems; every container is ready unless told otherwise."""
    ids = {r.container.id for r in replicas} if ready is None else ready
    (app,), problems = table(replicas, ids, "localhost")
    assert isinstance(check(orjson.loads(orjson.dumps(Snapshot(apps=(app,), version=1)))), Snapshot)
    return app, problems


def weights(app: App) -> dict[str, int]:
    return {r.name.partition("--")[2]: r.weight for r in app.revisions}


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        ("shop:v1", "v1"),
        ("shop:1.27", "v1-27"),
        ("registry:5000/team/shop:Release_3", "release-3"),
        ("shop", "img-0123456"),
        ("shop:latest", "img-0123456"),
        ("shop@sha256:99", "img-0123456"),
    ],
)
def test_a_revision_is_named_after_its_image(image: str, suffix: str) -> None:
    found = read(a_container(image=image))
    assert isinstance(found, Replica)
    assert found.revision == f"shop--{suffix}"


def test_everything_can_be_said_by_labels() -> None:
    found = read(
        a_container(
            revision="v2", port="9000", weight="20", label="blue, green", mode="multiple",
            hosts="shop.example.com", probe_path="/ready", probe_interval="500ms",
        )
    )  # fmt: skip
    assert isinstance(found, Replica)
    assert (found.revision, found.address, found.weight) == ("shop--v2", "10.0.0.2:9000", 20)
    assert (found.labels, found.hosts) == (("blue", "green"), ("shop.example.com",))
    assert found.probe == Probe("/ready", 0.5)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"app": "Shop"}, "no app name"),
        ({"revision": "-v"}, "turnout.revision"),
        ({"port": "http"}, "turnout.port"),
        ({"weight": "101"}, "from 0 to 100"),
        ({"label": "a--b"}, "turnout.label"),
        ({"mode": "both"}, "neither single nor multiple"),
        ({"wieght": "5"}, "turnout.wieght is not known"),
        ({"probe_interval": "soon"}, "no duration"),
        ({"probe_path": "ready"}, "begin with /"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_containers_name(
    labels: dict[str, str], problem: str
) -> None:
    found = read(a_container(**labels))
    assert isinstance(found, str)
    assert found.startswith("container web-1: ")
    assert problem in found


def test_without_weights_the_newest_revision_that_is_ready_has_all_traffic() -> None:
    old, new = a_replica("a", "v1", 1), a_replica("b", "v2", 2)
    app, problems = app_of(old, new, ready={"a"})
    assert (weights(app), problems) == ({"v1": 100, "v2": 0}, [])
    assert weights(app_of(old, new)[0]) == {"v1": 0, "v2": 100}


@pytest.mark.parametrize(
    ("given", "shares", "is_settled"),
    [
        (("80", "20"), {"v1": 80, "v2": 20}, False),
        (("50", "100"), {"v1": 33, "v2": 67}, True),
        (("50", None), {"v1": 100, "v2": 0}, True),
        (("0", "0"), {"v1": 0, "v2": 100}, False),
    ],
)
def test_weights_are_made_to_sum_to_100(
    given: tuple[str | None, str | None], shares: dict[str, int], is_settled: bool
) -> None:
    replicas = [
        a_replica(name, name, n, **({"weight": weight} if weight is not None else {}))
        for n, (name, weight) in enumerate(zip(("v1", "v2"), given, strict=True))
    ]
    app, problems = app_of(*replicas)
    assert weights(app) == shares
    assert bool(problems) == is_settled


def test_in_single_mode_weights_mean_nothing_and_that_is_said() -> None:
    app, problems = app_of(
        a_replica("a", "v1", 1, weight="90", mode="single"), a_replica("b", "v2", 2)
    )
    assert weights(app) == {"v1": 0, "v2": 100}
    assert problems == ["shop: weights mean nothing in single mode"]


def test_a_label_that_two_revisions_want_goes_to_the_newest_that_is_ready() -> None:
    both = [a_replica("a", "v1", 1, label="blue"), a_replica("b", "v2", 2, label="blue")]
    app, problems = app_of(*both, ready={"a"})
    assert {r.name: r.labels for r in app.revisions} == {"shop--v1": ("blue",), "shop--v2": ()}
    assert problems == ["label blue is on shop--v1, shop--v2; shop--v1 has it"]


def test_a_host_stays_with_the_app_that_had_it_first() -> None:
    first = a_replica("a", "v1", 1, hosts="shop.example.com")
    other = a_replica("b", "v1", 2, hosts="shop.example.com,*.localhost", app="blog")
    apps, problems = table([first, other], {"a", "b"}, "localhost")
    assert {app.name: app.hosts for app in apps} == {"shop": ("shop.example.com",), "blog": ()}
    assert problems == [
        "blog: host shop.example.com belongs to shop already",
        "blog: *.localhost lies under the domain localhost itself",
    ]


def test_containers_of_one_revision_share_its_requests_once_they_are_ready() -> None:
    replicas = [a_replica(name, "v1", n) for n, name in enumerate("abc")]
    app, _ = app_of(*replicas, ready={"a", "c"})
    assert [e.replica for e in app.revisions[0].endpoints] == ["a", "c"]


def test_the_newest_container_of_a_revision_speaks_for_it() -> None:
    old: Any = a_replica("a", "v1", 1, label="blue")
    app, problems = app_of(old, a_replica("b", "v1", 2, label="green"))
    assert app.revisions[0].labels == ("green",)
    assert problems == ["shop--v1: its containers disagree; b, the newest, counts"]


def test_beside_a_control_plane_its_apps_and_hosts_come_first() -> None:
    told = Snapshot("localhost", (App("shop", hosts=("shop.example",)),))
    found = Snapshot(
        "localhost",
        (App("blog", hosts=("blog.example", "shop.example", "x.localhost")), App("shop")),
        problems=("one of its own",),
    )
    both = combine(told, found)
    assert [(app.name, app.hosts) for app in both.apps] == [
        ("blog", ("blog.example",)), ("shop", ("shop.example",)),
    ]  # fmt: skip
    assert both.problems == (
        "blog: host shop.example belongs to shop already",
        "blog: x.localhost lies under the domain localhost itself",
        "one of its own",
        "shop: containers are left out, an app of this name is there",
    )


def hosts(apps: tuple[App, ...]) -> dict[str, tuple[str, ...]]:
    return {app.name: app.hosts for app in apps}


async def test_an_app_whose_last_container_went_has_no_ready_replica_for_a_while_then_no_host() -> (
    None
):
    absent = Absent(60.0)
    app, _ = app_of(a_replica("a", "v1", 1, label="blue", hosts="shop.example"))
    assert absent.beside((app,), 100.0) == (app,)
    for at in (101.0, 160.9):
        routes = an_edge(*absent.beside((), at)).table
        for host in (b"shop.localhost", b"shop.example", b"shop---blue.localhost",
                     b"shop--v1.localhost"):  # fmt: skip
            found = routes.lookup(host)
            assert isinstance(found, Route)
            assert (found.revision(), found.outcome) == (None, NO_READY_REPLICA)
    assert absent.next_end(160.0) == 1.0
    assert absent.beside((), 161.0) == ()
    assert absent.next_end(161.0) == float("inf")


def test_an_app_that_came_back_is_as_it_is_found_and_may_go_again() -> None:
    absent = Absent(60.0)
    old, new = (app_of(a_replica(name, name, 1))[0] for name in ("v1", "v2"))
    absent.beside((old,), 0.0)
    absent.beside((), 1.0)
    assert absent.beside((new,), 60.0) == (new,)
    (gone,) = absent.beside((), 90.0)
    assert [(r.name, r.endpoints) for r in gone.revisions] == [("shop--v2", ())]
    assert absent.beside((), 149.0)


def test_a_host_is_the_app_that_had_it_last() -> None:
    absent = Absent(60.0)
    first, second = (App(name, hosts=("shop.example",)) for name in ("blog", "shop"))
    absent.beside((first,), 0.0)
    assert hosts(absent.beside((second,), 1.0)) == {"blog": (), "shop": ("shop.example",)}
    assert hosts(absent.beside((), 2.0)) == {"blog": (), "shop": ("shop.example",)}

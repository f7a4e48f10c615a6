"""Who may have which host, and what becomes of an app that asks for another's."""

from __future__ import annotations

import pytest

from router.contract.admission import Admission
from router.contract.domains import Owners
from router.contract.snapshot import App
from tests.support.builders import a_revision


@pytest.mark.parametrize(
    ("held", "asked", "because"),
    [
        (("blog", ["x.example.com"]), ("shop", ["x.example.com"]), "belongs to app blog"),
        (("blog", []), ("shop", ["blog"]), "is the name of app blog"),
        (("blog", ["shop"]), ("shop", []), "is a custom domain of app blog"),
        (("blog", ["*.example.com"]), ("shop", ["*.example.com"]), "belongs to app blog"),
        (("blog", ["*.example.com"]), ("shop", ["blog--v1.example.com"]), "belongs to app blog"),
        (("blog", ["*.example.com"]), ("shop", ["blog---new.example.com"]), "belongs to app blog"),
        (("blog", ["shop---new.example.com"]), ("shop", ["*.example.com"]), "belongs to app blog"),
        (("blog", ["*.example.com"]), ("shop", ["x.example.com"]), ""),
        (("blog", ["*.example.com"]), ("shop", ["shop--v1.example.com"]), ""),
        (("blog", ["xn--bcher-kva.example"]), ("shop", ["xn--mnchen-3ya.example"]), ""),
        (("blog", ["x.example.com"]), ("blog", ["x.example.com"]), ""),
    ],
)
def test_a_host_belongs_to_one_app(
    held: tuple[str, list[str]], asked: tuple[str, list[str]], because: str
) -> None:
    owners = Owners()
    owners.claim(*held)

    conflict = owners.conflict(*asked)

    assert because in conflict
    assert bool(conflict) == bool(because)
    owners.release(*held)
    assert not owners.conflict(*asked)


def an_app(name: str, *hosts: str, version: str = "v1") -> App:
    return App(name, "multiple", hosts, (a_revision(version, 100, app=name),))


def test_a_bad_app_keeps_its_last_good_version_and_costs_nobody_else() -> None:
    admission = Admission()
    admission.admit({"shop": an_app("shop"), "blog": an_app("blog")})
    newer = an_app("blog", version="v2")

    changed = admission.admit({"shop": "weights: they sum to 120", "blog": newer})

    assert changed == {"blog": newer}
    assert admission.apps == {"shop": an_app("shop"), "blog": newer}
    assert admission.refused == {"shop": "weights: they sum to 120"}


def test_who_has_a_host_keeps_it_and_who_waits_for_it_gets_it_when_it_is_free() -> None:
    admission = Admission()
    admission.admit({"blog": an_app("blog", "x.example.com"), "able": an_app("able")})
    wants = an_app("able", "x.example.com")

    assert admission.admit({"able": wants}) == {}
    assert "already belongs to app blog" in admission.refused["able"]
    assert admission.apps["able"] == an_app("able")

    changed = admission.admit({"blog": an_app("blog")})
    assert changed == {"blog": an_app("blog"), "able": wants}
    assert admission.refused == {}


def test_two_apps_exchange_their_hosts_at_once() -> None:
    admission = Admission()
    admission.admit({"a": an_app("a", "a.example.com"), "b": an_app("b", "b.example.com")})

    admission.admit({"a": an_app("a", "b.example.com"), "b": an_app("b", "a.example.com")})

    assert admission.refused == {}
    assert {n: app.hosts for n, app in admission.apps.items()} == {
        "a": ("b.example.com",),
        "b": ("a.example.com",),
    }


def test_an_app_that_is_gone_leaves_its_name_and_hosts() -> None:
    admission = Admission()
    admission.admit({"blog": an_app("blog", "x.example.com")})
    assert admission.admit({"blog": None}) == {"blog": None}

    assert admission.admit({"shop": an_app("shop", "x.example.com", "blog")})
    assert admission.refused == {}

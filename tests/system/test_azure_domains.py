"""Whether a custom domain is free, as `az containerapp hostname add` asks before it binds one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.azure import app_path
from tests.support.turnout import Turnout


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with Turnout("control", admin="127.0.0.1:0", state=state) as server:
        yield server


def put(control: Turnout, app: str, *domains: str) -> tuple[int, Any]:
    ingress = {"targetPort": 80, "customDomains": [{"name": name} for name in domains]}
    template = {"containers": [{"image": "endpoint:127.0.0.1:9"}]}
    body = {"configuration": {"ingress": ingress}, "template": template}
    return control.call("PUT", f"/v1/apps/{app}", body)


def analysed(control: Turnout, app: str, host: str) -> tuple[bool, bool, str]:
    """Whether another app has it, whether this one has, and the id of the other."""
    path = f"{app_path('local', app)}/listCustomHostNameAnalysis?customHostname={host}"
    answer = control.must("POST", path)
    assert answer["hostName"] == host.lower()
    owner = answer.get("conflictingContainerAppResourceId", "")
    conflict = answer["hasConflictOnManagedEnvironment"]
    return conflict, answer["isHostnameAlreadyVerified"], owner


def test_a_domain_is_free_exactly_when_it_can_be_bound(control: Turnout) -> None:
    shop, blog = app_path("local", "shop"), app_path("local", "blog")
    put(control, "shop", "*.example.com", "www.example.org")
    put(control, "blog", "deli--v1.example.net")
    put(control, "deli")

    assert analysed(control, "shop", "*.example.com") == (False, True, "")
    assert analysed(control, "shop", "WWW.example.org") == (False, True, "")
    for app, host, owner in (
        ("blog", "*.example.com", shop),
        ("blog", "www.example.org", shop),
        ("blog", "shop---blue.example.com", shop),  # a host of shop's label, by its wildcard
        ("blog", "shop--v1.example.com", shop),
        ("deli", "*.example.net", blog),  # it would have that host of blog
        ("blog", "www.example.com", ""),  # an exact host goes before a wildcard
        ("blog", "blog---blue.example.com", ""),
        ("deli", "free.example.net", ""),
    ):
        assert analysed(control, app, host) == (bool(owner), False, owner), host
        status, answer = put(control, app, host)
        assert (status >= 400) is bool(owner), answer
        put(control, "blog", "deli--v1.example.net")
        put(control, "deli")

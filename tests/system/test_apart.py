"""Control and routers as processes of their own: two routers, and a control plane that is away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.turnout import Turnout, marked, provisioned, template, until

HERE = "127.0.0.1:0"
CONFIGURATION = {"ingress": {"targetPort": 80}}


def a_control(state: Path, admin: str = HERE) -> Turnout:
    return Turnout("control", state=state / "control", admin=admin, router_lease_s=3)


def a_router(state: Path, name: str, control: Turnout, listen: str = HERE) -> Turnout:
    return Turnout("router", state=state / name, control=control.server, listen=listen, admin=HERE,
                   token=control.token, workers=1, orphan_grace_s=1)  # fmt: skip


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with a_control(state) as control:
        yield control
        end(control, state)


def end(control: Turnout, state: Path) -> None:
    """Replicas outlive a control plane, so they are ended first."""
    control.must("DELETE", "/v1/apps/shop")
    until(lambda: not marked(state, also=b"CONTAINER_APP_REVISION="))


def deploy(control: Turnout, suffix: str) -> None:
    body = {"configuration": CONFIGURATION, "template": template(suffix)}
    control.must("PUT", "/v1/apps/shop", body)
    provisioned(control, f"shop--{suffix}")


def page(router: Turnout, path: str = "/") -> str:
    status, _, text = router.get("shop.localhost", path)
    return text if status == 200 else ""


def replicas(control: Turnout, suffix: str) -> list[str]:
    path = f"/v1/apps/shop/revisions/shop--{suffix}/replicas"
    return [replica["name"] for replica in control.must("GET", path)["value"]]


def test_a_replica_is_ended_when_both_routers_have_finished_with_it(
    control: Turnout, state: Path
) -> None:
    with (
        a_router(state, "a", control) as one,
        a_router(state, "b", control) as other,
        ThreadPoolExecutor() as pool,
    ):
        deploy(control, "v1")
        until(lambda: page(one) and page(other))
        slow = pool.submit(page, other, "/?delay=3s")
        until(lambda: "turnout_requests_in_flight" in other.call("GET", "/metrics")[1])
        deploy(control, "v2")
        until(lambda: "shop--v2" in page(one) and "shop--v2" in page(other))
        assert replicas(control, "v1"), "ended under a request that the other router carries"
        assert "shop--v1" in slow.result()
        until(lambda: not replicas(control, "v1"))


def test_a_router_that_is_gone_is_waited_for_no_longer_than_its_lease(
    control: Turnout, state: Path
) -> None:
    with a_router(state, "a", control) as one:
        other = a_router(state, "b", control).wait_ready()
        deploy(control, "v1")
        until(lambda: page(one) and page(other))
        other.kill()
        deploy(control, "v2")
        until(lambda: "shop--v2" in page(one))
        until(lambda: not replicas(control, "v1"))


def test_a_control_plane_that_is_away_is_not_missed(state: Path) -> None:
    control = a_control(state).wait_ready()
    try:
        one = a_router(state, "a", control).wait_ready()
        with one, a_router(state, "b", control) as other:
            deploy(control, "v1")
            until(lambda: page(one) and page(other))
            address = control.facts["admin"]
            control.kill()
            assert page(one)
            assert page(other)
            one.kill()  # and is started again while nobody can tell it anything
            with a_router(state, "a", control, listen=one.facts["ingress"]) as again:
                assert "shop--v1" in page(again)
                assert "shop--v1" in page(other)
                control = a_control(state, address).wait_ready()
                deploy(control, "v2")
                until(lambda: "shop--v2" in page(again) and "shop--v2" in page(other))
                until(lambda: not replicas(control, "v1"))
                tables = [r.must("GET", "/table") for r in (again, other)]
                assert tables[0] == tables[1]
                end(control, state)
                assert not page(again)
                assert not page(other)
    finally:
        control.stop()

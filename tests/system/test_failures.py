"""A revision that fails is seen to fail where one looks first."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.support.turnout import Turnout, provisioned, run, template, until


def test_a_bad_canary_shows_in_the_list_of_revisions(state: Path) -> None:
    ingress = {"ingress": {"targetPort": 80}}
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    with Turnout("up", state=state / "s", **flags) as up:
        up.must("PUT", "/v1/apps/shop", {"configuration": ingress, "template": template("v1")})
        provisioned(up, "shop--v1")
        until(lambda: up.get("shop.localhost")[0] == 200)
        path, turns = "/v1/apps/shop/revisions/shop--v1", itertools.count()
        assert "errorPercent" not in up.must("GET", path)

        def percent() -> float:
            for _ in range(20):
                up.get("shop.localhost", "/?status=500" if next(turns) % 2 else "/")
            return float(up.must("GET", path).get("errorPercent", 0.0))

        seen = until(percent)
        assert 45 <= seen <= 55
        listed = run("revision", "list", "shop", server=up.server).stdout
        assert "Errors %" in listed
        until(lambda: "errorPercent" not in up.must("GET", path))

"""What tables say: ages, images, URLs."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from control.cli import output
from control.cli.discovered import discovered
from control.cli.options import full_name
from control.cli.output import Format, age
from control.publish.explain import explain_table
from router.contract.snapshot import App, Endpoint, Revision, Snapshot

MOMENT = "2026-01-01T00:00:00.000+00:00"
THEN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86400 * 3, "3 d"),
     (-5, "0 s")],
)  # fmt: skip
def test_an_age_is_in_its_largest_unit(seconds: int, said: str) -> None:
    assert age(MOMENT, THEN + seconds) == said


def test_a_list_of_revisions_shows_image_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    created = datetime.fromtimestamp(time.time() - 7300, UTC).isoformat()
    template = {"containers": [{"image": "nginx:1.27"}]}
    wire = {"name": "shop--v1", "createdTime": created, "template": template}
    output.show([wire], output.REVISIONS, Format.TABLE)
    shown = capsys.readouterr().out
    assert "nginx:1.27" in shown
    assert "2 h" in shown


@pytest.mark.parametrize(
    ("given", "full"), [("v2", "shop--v2"), ("shop--v2", "shop--v2"), ("", "")]
)
def test_a_suffix_names_a_revision(given: str, full: str) -> None:
    assert full_name("shop", given) == full


V1 = Revision("web--v1", 80, (), (Endpoint("web-1", "10.0.0.1:80"),))
V2 = Revision("web--v2", 20, ("next",), ())
TABLE = Snapshot("localhost", (App("web", revisions=(V1, V2)),), 7)


def test_found_apps_are_explained_by_the_routers_table() -> None:
    found = explain_table(TABLE, "http://web.localhost/")
    assert found["app"] == "web"
    assert [(r["name"], r["chance"]) for r in found["revisions"]] == [
        ("web--v1", 1.0), ("web--v2", 0.0)
    ]  # fmt: skip
    assert found["revisions"][0]["replicas"][0]["address"] == "10.0.0.1:80"
    assert explain_table(TABLE, "http://other.localhost/")["answer"]["code"] == "HostNotFound"


def test_found_apps_are_listed() -> None:
    revisions = [{"name": "web--v1", "endpoints": [{"replica": "a", "address": "b:1"}]}]
    (app,) = discovered(
        {
            "domain": "localhost",
            "apps": [{"name": "web", "mode": "multiple", "revisions": revisions}],
        }
    )
    assert app["configuration"]["ingress"]["fqdn"] == "web.localhost"
    assert app["runningStatus"] == "Running"

"""Every day-to-day command, as the real binary against a real control plane."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.cli import Cli
from tests.support.turnout import Turnout, run, until


def test_a_day_at_the_command_line(up: Turnout) -> None:
    cli = Cli(up.server)
    cli(
        "deploy",
        "shop",
        "--image",
        "process:demo",
        "--revision-suffix",
        "v1",
        "--revisions-mode",
        "multiple",
        "--probe-path",
        "/healthz",
    )
    cli("deploy", "shop", "--env", "COLOR=blue", "--revision-suffix", "v2")
    assert "shop--v2" in cli("revision", "list", "shop")
    assert [r["name"] for r in cli.json("revision", "list", "shop")] == ["shop--v2", "shop--v1"]
    assert cli.json("app", "list")[0]["latestReadyRevisionName"] == "shop--v2"
    assert "shop.localhost" in cli("app", "show", "shop")

    cli("traffic", "set", "shop", "--revision-weight", "v1=80", "--revision-weight", "latest=20")
    assert cli.json("traffic", "show", "shop") == [
        {"weight": 20, "latestRevision": True},
        {"weight": 80, "revisionName": "shop--v1"},
    ]
    cli("label", "add", "shop", "--label", "blue", "--revision", "shop--v1")
    cli("label", "add", "shop", "--label", "green", "--revision", "shop--v2")
    cli("label", "swap", "shop", "--source", "blue", "--target", "green")
    until(lambda: json.loads(up.get("shop---blue.localhost")[2])["revision"] == "shop--v2")
    cli("label", "move", "shop", "--label", "blue", "--revision", "shop--v1")
    cli("label", "remove", "shop", "--label", "blue")
    until(lambda: up.get("shop---blue.localhost")[1].get("X-Turnout-Error") == "LabelNotFound")

    cli("traffic", "set", "shop", "--revision-weight", "shop--v2=100")
    cli("revision", "deactivate", "shop", "--revision", "shop--v1")
    assert cli.json("revision", "show", "shop", "--revision", "shop--v1")["active"] is False
    cli("revision", "activate", "shop", "--revision", "shop--v1")
    cli("revision", "restart", "shop", "--revision", "shop--v2")
    cli("revision", "set-mode", "shop", "--mode", "single")
    until(lambda: [r["name"] for r in cli.json("revision", "list", "shop")] == ["shop--v2"])
    assert cli.json("replica", "list", "shop")[0]["name"].startswith("shop--v2-")
    cli("logs", "shop")
    cli("app", "stop", "shop")
    until(lambda: up.get("shop.localhost")[1].get("X-Turnout-Error") == "AppStopped")
    cli("app", "start", "shop")
    until(lambda: up.get("shop.localhost")[0] == 200)
    cli("app", "delete", "shop", "--yes")
    until(lambda: up.get("shop.localhost")[1].get("X-Turnout-Error") == "HostNotFound")


def test_mistakes_get_a_sentence_that_says_what_to_do(up: Turnout) -> None:
    cli = Cli(up.server)
    assert "create it with --image" in cli.fails("deploy", "shop", code=2)
    assert "there is no app shop" in cli.fails("app", "show", "shop")
    assert "process: needs the command" in cli.fails("deploy", "shop", "--image", "process:")
    assert "there is no Docker Engine at" in cli.fails("deploy", "shop", "--image", "nginx:1.27")
    cli("deploy", "shop", "--image", "process:demo", "--revision-suffix", "v1", "--no-wait")
    said = cli.fails("traffic", "set", "shop", "--revision-weight", "v1=80")
    assert "turnout revision set-mode shop --mode multiple" in said
    cli("revision", "set-mode", "shop", "--mode", "multiple")
    said = cli.fails("traffic", "set", "shop", "--revision-weight", "v9=80")
    assert "sum to 80" in said
    assert "no revision shop--v9" in said
    assert "is not NAME=WEIGHT" in cli.fails(
        "traffic", "set", "shop", "--revision-weight", "v1:80", code=2
    )


def test_a_deploy_that_fails_says_why_and_exits_1(up: Turnout) -> None:
    cli = Cli(up.server)
    script = ("--command", "sh", "--command", "-c", "--command", "echo no database; exit 3")
    said = cli.fails("deploy", "shop", "--image", "process:", *script)

    # whether the replica's own line tells the reason depends on which of the two is seen first:
    # the replica's end or the revision's
    assert re.search(r"shop--\w+-\w+: (Starting|Backoff)", said)
    assert "Container 'main' was terminated with exit code '3'" in said
    assert "no database" in said


def test_no_control_plane_is_a_sentence_not_a_traceback() -> None:
    said = Cli("http://127.0.0.1:1").fails("app", "list")

    assert "no control plane answers at http://127.0.0.1:1" in said
    assert "turnout up" in said
    assert "Traceback" not in said


def test_labels_decide_explain_tells_and_the_journal_leads_back(up: Turnout) -> None:
    cli = Cli(up.server)
    first = ("deploy", "shop", "--image", "process:demo", "--probe-path", "/healthz")
    cli(*first, "--revision-suffix", "v1", "--revisions-mode", "labels", "--target-label", "prod")
    cli("deploy", "shop", "--env", "A=2", "--revision-suffix", "v2", "--target-label", "next")
    until(lambda: "shop--v2" in up.get("shop---next.localhost")[2])
    assert "shop--v1" in up.get("shop.localhost")[2]
    refused = cli.fails("deploy", "shop", "--env", "A=3", "--revision-suffix", "v3")
    assert "give targetLabel (in use: next, prod)" in refused
    assert "labels decide" in cli.fails("revision", "deactivate", "shop", "--revision", "shop--v2")

    assert "label: its revision answers" in cli("explain", "http://shop---next.localhost/x?a=b")
    (revision,) = cli.json("explain", "shop---next.localhost")["revisions"]
    assert (revision["name"], revision["chance"]) == ("shop--v2", 1.0)
    assert "404 HostNotFound" in cli("explain", "nobody.localhost")

    cli("label", "swap", "shop", "--source", "prod", "--target", "next")
    until(lambda: "shop--v1" in up.get("shop---next.localhost")[2])
    newest, *_ = cli.json("journal", "shop")
    assert any("label: next -> prod" in line for line in newest["changes"])
    assert "(turnout/" in newest["who"]
    cli("rollback", "shop")
    until(lambda: "shop--v2" in up.get("shop---next.localhost")[2])
    assert "no app nobody" in cli.fails("rollback", "nobody")
    assert "app shop has no record 99" in cli.fails("rollback", "shop", "--to", "99")


AZ_YAML = """
name: shop
location: local
properties:
  environmentId: /subscriptions/s/resourceGroups/rg/providers/Microsoft.App/managedEnvironments/e
  configuration:
    activeRevisionsMode: Multiple
    secrets: null
    ingress: {external: true, targetPort: 80, transport: auto, traffic: null}
  template:
    revisionSuffix: v1
    containers:
    - name: web
      image: process:demo
      env: [{name: COLOR, value: %s}]
      probes: [{type: Startup, periodSeconds: 1, httpGet: {path: /healthz, port: 80}}]
    scale: {minReplicas: 1, maxReplicas: 2}
"""


def test_an_app_as_a_file_is_planned_and_applied(up: Turnout, tmp_path: Path) -> None:
    cli, file = Cli(up.server), tmp_path / "app.yaml"
    file.write_text(AZ_YAML % "blue")
    planned = run("plan", "-f", str(file), server=up.server)
    assert planned.returncode == 2, planned.stderr
    assert "revision shop--v1 made" in planned.stdout
    assert "traffic: nobody -> shop--v1 100 %" in planned.stdout
    assert cli.json("app", "list") == []  # it was only planned
    cli("apply", "-f", str(file))
    assert "nothing would change" in cli("plan", "-f", str(file))
    assert "shop--v1" in up.get("shop.localhost")[2]
    file.write_text(AZ_YAML.replace("revisionSuffix: v1", "revisionSuffix: v2") % "green")
    found = json.loads(run("plan", "-f", str(file), "-o", "json", server=up.server).stdout)
    assert found["traffic"]["after"] == {"shop--v2": 100}
    file.write_text("name: shop\nproperties: {template: {containers: [{imgae: x}]}}")
    assert "imgae is not known" in cli.fails("plan", "-f", str(file))
    file.write_text("a: [")
    assert "is no YAML" in cli.fails("plan", "-f", str(file))

"""What an unmodified `az containerapp` sends, in its order and with its bodies.

azure-cli itself is too large for the suite; these are its requests, over TLS as it makes them.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.azure import S, app_path, environment_path, group_path
from tests.support.turnout import Turnout, run, until, without_apps

RG = group_path("rg")
APP = app_path("rg", "album-api")
ENV = environment_path("rg", "my-env")
API = "api-version=2025-07-01"


class Az:
    """An https client that trusts the control plane's CA and nobody else."""

    def __init__(self, server: Turnout, state: Path) -> None:
        self.server = server
        self.url = server.facts["azure"]
        self.token = server.token
        self._tls = ssl.create_default_context(cafile=str(state / "azure" / "ca.pem"))

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        separator = "&" if "?" in path else "?"
        url = path if path.startswith("https:") else f"{self.url}{path}{separator}{API}"
        form = isinstance(body, str)
        data = None if body is None else (body if form else json.dumps(body)).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Content-Type": kind, "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as response:
                status, headers, raw = response.status, dict(response.headers), response.read()
        except urllib.error.HTTPError as error:
            status, headers, raw = error.code, dict(error.headers), error.read()
        is_json = headers.get("Content-Type", "").startswith("application/json")
        return status, headers, json.loads(raw) if raw and is_json else raw.decode()

    def get(self, path: str) -> Any:
        status, _, answer = self.send("GET", path)
        assert status == 200, answer
        return answer

    def write(self, method: str, path: str, body: Any = None) -> Any:
        """A write, and az's own poller: the status URL until it ends, then the resource."""
        status, headers, answer = self.send(method, path, body)
        assert status in (200, 201, 202), answer
        if status == 200:
            return answer
        link = headers["Azure-AsyncOperation"]
        assert link.startswith(self.url)
        ended = until(
            lambda: (answer := self.get(link))["status"] not in ("InProgress",) and answer
        )
        assert ended["status"] == "Succeeded", ended
        return self.get(path)

    def traffic(self, rules: list[dict[str, Any]]) -> Any:
        body = {"properties": {"configuration": {"ingress": {"traffic": rules}}}}
        return self.write("PATCH", APP, body)["properties"]["configuration"]["ingress"]["traffic"]


@pytest.fixture(scope="module")
def shared(shared_state: Path) -> Iterator[Az]:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "azure_port": 0, "workers": 1}
    with Turnout("up", state=shared_state / "s", **flags) as server:
        az = Az(server, shared_state / "s")
        az.send("PUT", RG, {"location": "local"})
        az.write("PUT", ENV, ENV_CREATE)
        yield az


@pytest.fixture
def az(shared: Az) -> Iterator[Az]:
    """Where there are no apps."""
    yield shared
    without_apps(shared.server)


# What `az containerapp env create --logs-destination none` PUTs.
ENV_CREATE = {
    "location": "local",
    "tags": None,
    "properties": {
        "daprAIInstrumentationKey": None,
        "vnetConfiguration": None,
        "appLogsConfiguration": {"destination": None, "logAnalyticsConfiguration": None},
        "customDomainConfiguration": None,
        "workloadProfiles": [{"workloadProfileType": "Consumption", "Name": "Consumption"}],
        "zoneRedundant": False,
    },
}


def created(suffix: str | None = "first", **template: Any) -> dict[str, Any]:
    """What `az containerapp create` PUTs, its nulls included."""
    ingress = {
        "fqdn": None, "external": True, "targetPort": 80, "transport": "auto", "exposedPort": None,
        "allowInsecure": False, "traffic": None, "customDomains": None,
        "ipSecurityRestrictions": None, "stickySessions": None,
    }  # fmt: skip
    container = {
        "image": "process:demo", "name": "album-api", "command": None, "args": None,
        "env": [{"name": "A", "value": "1"}], "resources": {"cpu": 0.25, "memory": "0.5Gi"},
        "volumeMounts": None,
    }  # fmt: skip
    configuration = {
        "secrets": None, "activeRevisionsMode": "multiple", "ingress": ingress, "dapr": None,
        "registries": None,
    }  # fmt: skip
    filled = {
        "revisionSuffix": suffix, "containers": [container], "initContainers": None,
        "scale": {"minReplicas": 1, "maxReplicas": 3, "rules": []}, "volumes": None,
        "serviceBinds": None,
    }  # fmt: skip
    return {
        "location": "local",
        "identity": {"type": "None", "userAssignedIdentities": None},
        "properties": {
            "environmentId": ENV,
            "configuration": configuration,
            "template": filled | template,
            "workloadProfileName": None,
        },
        "tags": None,
    }


def test_it_signs_in_without_an_account_or_the_internet(az: Az) -> None:
    cloud = az.get("//metadata/endpoints?api-version=2022-09-01")
    login = cloud["authentication"]["loginEndpoint"]
    assert login == f"{az.url}/adfs"
    token_url = az.get(f"{login}/.well-known/openid-configuration")["token_endpoint"]
    grant = {"grant_type": "client_credentials", "client_secret": az.token}
    form = urllib.parse.urlencode(grant)
    assert az.send("POST", token_url, form)[2]["access_token"] == az.token
    assert az.send("POST", token_url, "grant_type=client_credentials")[0] == 401
    assert az.send("POST", token_url, form + "x")[0] == 401
    (subscription,) = az.get("/subscriptions")["value"]
    assert subscription["state"] == "Enabled"
    assert az.get(f"{S}/providers/Microsoft.App")["registrationState"] == "Registered"


def test_a_password_is_a_token_where_tokens_are_asked_for(state: Path) -> None:
    (state / "tokens").write_text("ops write right\n")
    flags = {"admin": "127.0.0.1:0", "azure_port": 0, "token_file": state / "tokens"}
    with Turnout("control", state=state / "s", **flags) as server:
        az = Az(server, state / "s")
        assert az.send("GET", "/metadata/endpoints")[0] == 200
        assert az.send("GET", "/subscriptions")[0] == 401


def test_create_update_copy_and_delete(az: Az) -> None:
    made = az.write("PUT", APP, created())
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["configuration"]["ingress"]["fqdn"] == "album-api.localhost"
    assert az.write("PUT", APP, created())["properties"]["latestRevisionName"] == "album-api--first"

    template = az.get(APP)["properties"]["template"]
    template["containers"][0]["env"].append({"name": "COLOR", "value": "red"})
    patch = {"revisionSuffix": None, "containers": template["containers"]}
    updated = az.write("PATCH", APP, {"properties": {"template": patch}})
    assert updated["properties"]["latestRevisionName"] != "album-api--first"
    scaled = {"properties": {"template": {"revisionSuffix": "two", "scale": {"minReplicas": 2}}}}
    assert az.write("PATCH", APP, scaled)["properties"]["latestRevisionName"] == "album-api--two"
    assert az.get(f"{APP}/revisions/album-api--two")["properties"]["replicas"] == 2

    base = az.get(f"{APP}/revisions/album-api--first")["properties"]["template"]
    az.write("PATCH", APP, {"properties": {"template": base | {"revisionSuffix": "copied"}}})
    copy = az.get(f"{APP}/revisions/album-api--copied")["properties"]["template"]
    assert copy["containers"][0]["env"] == [{"name": "A", "value": "1"}]

    tagged = {"properties": {"template": {"revisionSuffix": None}}, "tags": {"team": "music"}}
    answer = az.write("PATCH", APP, tagged)
    assert (answer["tags"], answer["properties"]["latestRevisionName"]) == (
        {"team": "music"}, "album-api--copied",
    )  # fmt: skip
    for verb in ("deactivate", "activate", "restart"):
        status, _, said = az.send("POST", f"{APP}/revisions/album-api--first/{verb}")
        assert (status, type(said)) == (200, str)

    status, headers, _ = az.send("DELETE", APP)
    assert status == 202
    until(lambda: az.send("GET", headers["Location"])[0] == 204)
    assert az.send("DELETE", APP)[0] == 204


def test_traffic_and_labels(az: Az) -> None:
    az.write("PUT", APP, created())
    az.write("PATCH", APP, {"properties": {"template": {"revisionSuffix": "second"}}})
    latest = {"weight": 0, "latestRevision": True}
    first = {"revisionName": "album-api--first", "weight": 80, "latestRevision": False}
    second = {"revisionName": "album-api--second", "weight": "20", "latestRevision": False}
    az.traffic([latest, first, second])
    assert az.get(f"{APP}/revisions/album-api--second")["properties"]["trafficWeight"] == 20

    # `label add` on an entry it found, and on one it did not find and appends again
    az.traffic([latest, first, {**second, "label": "blue"}])
    appended = {**first, "weight": 0, "label": "green"}
    shown = az.traffic([latest, first, {**second, "label": "blue"}, appended])
    assert [(r.get("label"), r["weight"]) for r in shown] == [
        (None, 0), ("green", 80), ("blue", 20),
    ]  # fmt: skip
    assert "album-api--first" in until(
        lambda: (page := az.server.get("album-api---green.localhost"))[0] == 200 and page[2]
    )
    # `label add --label green` on another: the old holder gets a null
    moved = az.traffic([latest, {**first, "label": None}, {**second, "label": "green"}])
    assert [r.get("label") for r in moved] == [None, None, "green"]
    body = {"properties": {"configuration": {"ingress": {"traffic": [{**first, "weight": 70}]}}}}
    status, _, answer = az.send("PATCH", APP, body)
    assert (status, "sum to 70" in answer["error"]["message"]) == (400, True)


def test_what_was_read_is_put_back_with_one_thing_changed(az: Az) -> None:
    az.write("PUT", APP, created())
    az.write("PATCH", APP, {"properties": {"template": {"revisionSuffix": "second"}}})
    az.traffic([{"revisionName": "album-api--first", "weight": 80},
                {"revisionName": "album-api--second", "weight": 20}])  # fmt: skip

    got = az.get(APP)  # secret set
    assert az.send("POST", f"{APP}/listSecrets")[2] == {"value": []}
    secret = {"name": "db", "value": "hunter2", "keyVaultUrl": "", "identity": ""}
    got["properties"]["configuration"]["secrets"] = [secret]
    assert az.write("PUT", APP, got)["properties"]["configuration"]["secrets"] == [{"name": "db"}]
    values = az.send("POST", f"{APP}/listSecrets")[2]["value"]
    assert values == [{"name": "db", "value": "hunter2"}]

    got = az.get(APP)  # revision set-mode: the old weights come back too
    got["properties"]["configuration"] |= {"activeRevisionsMode": "single", "secrets": values}
    single = az.write("PUT", APP, got)["properties"]["configuration"]
    assert single["activeRevisionsMode"] == "Single"
    until(lambda: az.get(APP)["properties"]["configuration"]["ingress"]["traffic"] == [
        {"weight": 100, "latestRevision": True}])  # fmt: skip
    until(lambda: az.get(f"{APP}/revisions/album-api--first")["properties"]["active"] is False)

    got = az.get(APP)  # ingress disable, enable
    got["properties"]["configuration"] |= {"ingress": None, "secrets": values}
    assert az.write("PUT", APP, got)["properties"]["configuration"]["ingress"] is None
    ingress = {"external": True, "transport": "auto", "allowInsecure": False,
               "exposedPort": None, "targetPort": 80}  # fmt: skip
    body = {"properties": {"configuration": {"ingress": ingress}}}
    shown = az.write("PATCH", APP, body)["properties"]["configuration"]["ingress"]
    assert shown["fqdn"] == "album-api.localhost"
    assert az.send("POST", f"{APP}/listSecrets")[2]["value"] == values


def changed(az: Az, configuration: dict[str, Any]) -> Any:
    """What the configuration is after a patch."""
    body = {"properties": {"configuration": configuration}}
    return az.write("PATCH", APP, body)["properties"]["configuration"]


def test_what_is_accepted_is_shown(az: Az) -> None:
    shown = az.write("PUT", APP, created())
    ingress = shown["properties"]["configuration"]["ingress"]
    assert (ingress["external"], ingress["allowInsecure"]) == (True, False)
    assert shown["identity"] == {"type": "None"}

    harmless = {
        "dapr": {"enabled": False},
        "maxInactiveRevisions": 0,
        "ingress": {
            "external": False,
            "allowInsecure": True,
            "transport": "http",
            "clientCertificateMode": "ignore",
            "exposedPort": 0,
            "customDomains": [{"name": "albums.example.com", "bindingType": "Disabled"}],
        },
    }
    changed(az, harmless)
    shown = az.get(APP)["properties"]["configuration"]
    wanted = harmless["ingress"] | {"transport": "Http"}  # type: ignore[operator]
    assert {key: shown["ingress"][key] for key in wanted} == wanted
    assert (shown["dapr"], shown["maxInactiveRevisions"]) == ({"enabled": False}, 0)

    got = az.get(APP)  # and what was shown may be put back
    assert az.write("PUT", APP, got)["properties"]["configuration"] == shown
    assert changed(az, {"ingress": {"customDomains": []}})["ingress"]["customDomains"] == []


def test_an_ingress_that_says_nothing_else_is_internal_and_secure_as_in_azure(az: Az) -> None:
    body = created()
    body["properties"]["configuration"]["ingress"] = None
    az.write("PUT", APP, body)
    ingress = changed(az, {"ingress": {"targetPort": 80}})["ingress"]
    assert (ingress["external"], ingress["allowInsecure"]) == (False, False)
    ingress = changed(az, {"ingress": {"external": True}})["ingress"]
    assert changed(az, {"ingress": {"targetPort": 81}})["ingress"]["external"] is True


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"identity": {"type": "SystemAssigned"}}, {}, "identity.type"),
    ({"kind": "functionapp"}, {}, "kind"),
    ({}, {"workloadProfileName": "d4"}, "properties.workloadProfileName"),
    ({}, {"tags": {"a": "b"}}, "tags"),
    ({}, {"configuration": {"dapr": {"enabled": True}}}, "configuration.dapr.enabled"),
    ({}, {"configuration": {"dapr": {"enabled": False, "appId": "x"}}},
     "configuration.dapr.appId"),
    ({}, {"configuration": {"ingress": {"clientCertificateMode": "require"}}},
     "configuration.ingress.clientCertificateMode"),
    ({}, {"configuration": {"ingress": {"customDomains": [
        {"name": "a.example.com", "bindingType": "SniEnabled"}]}}},
     "configuration.ingress.customDomains[0].bindingType"),
    ({}, {"configuration": {"identitySettings": [{"identity": "system"}]}},
     "configuration.identitySettings"),
]  # fmt: skip


def test_what_cannot_be_had_is_refused_by_path(az: Az) -> None:
    other = app_path("rg", "other")
    az.write("PUT", APP, created())
    for beside, properties, path in REFUSED:
        body = {"properties": created()["properties"] | properties} | beside
        for method, resource in (("PUT", other), ("PATCH", APP)):
            status, _, answer = az.send(method, resource, body)
            assert status == 400, (path, answer)
            assert path in [detail["target"] for detail in answer["error"]["details"]]
    assert az.send("GET", other)[0] == 404


def test_tags_are_patched_and_put(az: Az) -> None:
    tagged = created() | {"tags": {"team": "music", "cost": "7"}}
    assert az.write("PUT", APP, tagged)["tags"] == {"team": "music", "cost": "7"}
    assert az.write("PATCH", APP, {"tags": {"cost": None}})["tags"] == {"team": "music"}
    assert az.write("PATCH", APP, {"tags": None})["tags"] == {}
    assert az.write("PUT", APP, created())["tags"] == {}
    status, _, answer = az.send("PUT", APP, created() | {"location": "westeurope"})
    assert (status, answer["error"]["code"]) == (409, "InvalidResourceLocation")
    assert az.write("PATCH", APP, {"location": "westeurope"})["location"] == "local"


def test_logs_are_read_as_az_reads_them(az: Az) -> None:
    container = {"image": "process:", "name": "main", "command": ["/bin/sh", "-c",
                 "echo hello; sleep 600"]}  # fmt: skip
    az.send("PUT", APP, created(containers=[container]))
    replicas = until(lambda: az.get(f"{APP}/revisions/album-api--first/replicas")["value"])
    (shown,) = az.get(f"{replicas[0]['id']}/")["properties"]["containers"]
    token = az.send("POST", f"{APP}/getAuthToken")[2]["properties"]["token"]
    assert token
    url = f"{shown['logStreamEndpoint']}?follow=false&output=json&tailLines=20"
    lines = until(lambda: az.send("GET", url)[2])
    assert json.loads(lines.splitlines()[0])["Log"] == "hello"
    assert az.send("GET", url.replace("json", "text"))[2] == "hello\n"
    events = az.get(APP)["properties"]["eventStreamEndpoint"]
    told = [json.loads(line)["Msg"] for line in az.send("GET", events)[2].splitlines()]
    assert any("created" in line for line in told)  # not the first if it is ready by now


def test_azure_env_prints_what_az_needs(az: Az, shared_state: Path) -> None:
    done = run("azure-env", "--no-register", "--state", str(shared_state / "s"))
    lines = dict(x.removeprefix("export ").split("=", 1) for x in done.stdout.splitlines())
    assert lines["REQUESTS_CA_BUNDLE"] == str(shared_state / "s" / "azure" / "ca.pem")
    assert "no Azure endpoint" in run("azure-env", "--state", str(shared_state / "none")).stderr


def test_after_a_failed_update_az_changes_what_serves(az: Az) -> None:
    """`update` sends the whole template that `show` gave it, `secret set` the whole app."""
    body = created()
    body["properties"]["configuration"]["activeRevisionsMode"] = "single"
    az.write("PUT", APP, body)

    def update(suffix: str, **main: Any) -> tuple[int, dict[str, str], Any]:
        shown = az.get(APP)["properties"]["template"]
        container = shown["containers"][0] | main
        template = {"revisionSuffix": suffix, "containers": [container]}
        return az.send("PATCH", APP, {"properties": {"template": template}})

    script = {"image": "process:", "command": ["sh", "-c", "exit 3"]}
    _, headers, _ = update("second", **script)
    ended = until(
        lambda: (
            (found := az.get(headers["Azure-AsyncOperation"]))["status"] != "InProgress" and found
        )
    )
    assert ended["status"] == "Failed"
    status, _, answer = az.send("GET", headers["Location"])  # 5xx would be asked for again
    assert (status, answer["error"]["code"]) == (400, ended["error"]["code"])
    app = az.get(APP)
    assert app["properties"]["template"]["containers"][0]["image"] == "process:demo"
    app["properties"]["configuration"]["secrets"] = [{"name": "db", "value": "x"}]
    az.write("PUT", APP, app)
    assert az.get(f"{APP}/revisions")["value"][0]["name"] == "album-api--second"

    # the name of what failed is free, and the corrected update has it
    _, old, _ = update("second", env=[{"name": "A", "value": "2"}])
    until(lambda: az.get(old["Azure-AsyncOperation"])["status"] == "Succeeded")
    assert az.get(headers["Azure-AsyncOperation"])["status"] == "Canceled"
    latest = az.get(APP)["properties"]
    assert latest["latestReadyRevisionName"] == "album-api--second"
    assert latest["template"]["containers"][0]["env"] == [{"name": "A", "value": "2"}]

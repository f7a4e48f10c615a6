"""Resource groups and environments on Azure's wire: real, and walls between the apps in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.appcontainers import ContainerAppsAPIClient

from tests.support.azure import S, an_app, app_path, environment_path, group_path, sdk
from tests.support.turnout import Turnout, until, without_apps

FLAGS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


@pytest.fixture(scope="module")
def server(shared_state: Path) -> Iterator[Turnout]:
    with Turnout("control", admin="127.0.0.1:0", state=shared_state / "s") as server:
        yield server


@pytest.fixture
def control(server: Turnout) -> Iterator[Turnout]:
    """With the group that exists from the start, and nothing in it."""
    yield server
    without_apps(server)
    groups = [group["name"] for group in server.must("GET", f"{S}/resourceGroups")["value"]]
    for group in groups:
        assert group == "local" or server.call("DELETE", group_path(group))[0] == 200


@pytest.fixture
def client(control: Turnout) -> Iterator[ContainerAppsAPIClient]:
    with sdk(control) as client:
        yield client


def refusal(control: Turnout, method: str, path: str, body: Any = None) -> tuple[int, str]:
    status, answer = control.call(method, path, body)
    return status, answer["error"]["code"] if answer else ""


def test_a_group_is_there_from_when_it_is_made_until_it_is_deleted(control: Turnout) -> None:
    path = group_path("Music")
    assert refusal(control, "GET", path) == (404, "ResourceGroupNotFound")
    assert control.call("HEAD", path)[0] == 404
    made = control.must("PUT", path, {"location": "westeurope", "tags": {"team": "a"}})
    assert (made["name"], made["location"], made["tags"]) == ("Music", "westeurope", {"team": "a"})

    lower = group_path("music")
    assert control.must("GET", lower)["id"] == path
    assert control.call("HEAD", lower)[0] == 204
    patched = control.must("PATCH", lower, {"tags": {"cost": "7", "team": None}})
    assert patched["tags"] == {"cost": "7"}
    assert control.must("PUT", lower, {"location": "West Europe"})["tags"] == {}
    moved = refusal(control, "PUT", lower, {"location": "eastus"})
    assert moved == (409, "InvalidResourceGroupLocation")
    groups = f"{S}/resourcegroups"
    assert [g["name"] for g in control.must("GET", groups)["value"]] == ["local", "Music"]
    control.must("PATCH", lower, {"tags": {"Cost": "7"}})
    for value, found in (("7", ["Music"]), ("8", [])):
        query = f"?$filter=tagname%20eq%20'cost'%20and%20tagvalue%20eq%20'{value}'"
        assert [g["name"] for g in control.must("GET", groups + query)["value"]] == found
    assert control.call("GET", f"{groups}?$filter=name%20ne%20'x'")[0] == 400

    assert control.call("DELETE", lower)[0] == 200
    assert refusal(control, "GET", path) == (404, "ResourceGroupNotFound")
    assert refusal(control, "DELETE", path) == (404, "ResourceGroupNotFound")


def test_an_app_is_reached_through_its_own_group_only(
    control: Turnout, client: ContainerAppsAPIClient
) -> None:
    for group in ("one", "two"):
        control.must("PUT", group_path(group), {"location": "local"})
    environment = environment_path("one", "env")
    client.managed_environments.begin_create_or_update("one", "env", {"location": "local"})
    apps, revisions = client.container_apps, client.container_apps_revisions
    apps.begin_create_or_update("one", "shop", an_app(environment), polling=False)

    apps.begin_delete("two", "shop").result()  # as in Azure: nothing there, nothing to do
    assert apps.get("ONE", "Shop").id == app_path("one", "shop")
    for attempt in (
        lambda: apps.get("two", "shop"),
        lambda: apps.begin_update("two", "shop", {"tags": {"a": "b"}}),
        lambda: apps.begin_stop("two", "shop"),
        lambda: apps.list_secrets("two", "shop"),
        lambda: list(revisions.list_revisions("two", "shop")),
    ):
        with pytest.raises(ResourceNotFoundError, match="under resource group 'two'") as missing:
            attempt()
        assert missing.value.error.code == "ResourceNotFound"
    with pytest.raises(ResourceExistsError, match="already exists in resource group one"):
        apps.begin_create_or_update("two", "shop", an_app(environment))
    with pytest.raises(ResourceNotFoundError) as missing:
        apps.begin_create_or_update("three", "shop2", an_app(environment))
    assert missing.value.error.code == "ResourceGroupNotFound"

    assert [a.name for a in apps.list_by_resource_group("one")] == ["shop"]
    assert [a.name for a in apps.list_by_resource_group("two")] == []
    nowhere = f"{group_path('three')}/providers/Microsoft.App/containerApps"
    assert refusal(control, "GET", nowhere) == (404, "ResourceGroupNotFound")
    assert apps.get("one", "shop").tags == {}


def test_a_group_goes_with_what_is_in_it(control: Turnout, client: ContainerAppsAPIClient) -> None:
    for group in ("one", "two"):
        control.must("PUT", group_path(group), {"location": "local"})
    environment = environment_path("one", "env")
    client.managed_environments.begin_create_or_update("one", "env", {"location": "local"})
    apps = client.container_apps
    apps.begin_create_or_update("one", "shop", an_app(environment), polling=False)
    apps.begin_create_or_update("two", "blog", an_app(environment), polling=False)

    status, answer = control.call("DELETE", group_path("one"))
    assert (status, "blog" in answer["error"]["message"]) == (409, True)
    assert apps.get("one", "shop").name == "shop"

    assert control.call("DELETE", f"{group_path('two')}?dryRun=true")[0] == 200
    assert apps.get("two", "blog").name == "blog"
    for group in ("two", "one"):
        assert control.call("DELETE", group_path(group))[0] == 200
    assert [app["name"] for app in control.must("GET", "/v1/apps")["value"]] == []
    assert [e.name for e in client.managed_environments.list_by_subscription()] == ["local"]


def test_environments_are_made_changed_and_deleted_under_any_name(
    control: Turnout, client: ContainerAppsAPIClient
) -> None:
    control.must("PUT", group_path("rg"), {"location": "westeurope"})
    environments = client.managed_environments
    with pytest.raises(ResourceNotFoundError):
        environments.get("rg", "my-env")
    profile = {"workloadProfileType": "Consumption", "Name": "Consumption"}
    body = {
        "location": "westeurope",
        "tags": {"team": "a"},
        "properties": {
            "vnetConfiguration": None,
            "appLogsConfiguration": {"destination": None, "logAnalyticsConfiguration": None},
            "workloadProfiles": [profile],
            "zoneRedundant": False,
        },
    }
    made = environments.begin_create_or_update("rg", "My-Env", body).result()
    assert (made.name, made.location, made.tags) == ("My-Env", "westeurope", {"team": "a"})
    assert (made.provisioning_state, made.default_domain) == ("Succeeded", "localhost")
    changed = environments.begin_update("rg", "my-env", {"tags": {"cost": "7"}}).result()
    assert changed.tags == {"team": "a", "cost": "7"}
    assert [e.name for e in environments.list_by_resource_group("rg")] == ["My-Env"]
    assert [e.name for e in environments.list_by_subscription()] == ["local", "My-Env"]

    apps = client.container_apps
    made = apps.begin_create_or_update(
        "rg", "shop", an_app(environment_path("RG", "my-env")), polling=False
    ).result()
    assert made.environment_id == environment_path("rg", "My-Env")
    with pytest.raises(ResourceExistsError, match="has apps; delete them first: shop"):
        environments.begin_delete("rg", "my-env")
    moved = an_app(environment_path("local", "local"))
    with pytest.raises(HttpResponseError, match="runs in environment My-Env"):
        apps.begin_create_or_update("rg", "shop", moved)
    with pytest.raises(HttpResponseError, match="there is no environment other"):
        apps.begin_create_or_update("rg", "blog", an_app(environment_path("rg", "other")))

    control.call("DELETE", app_path("rg", "shop"))
    environments.begin_delete("rg", "my-env").result()
    environments.begin_delete("rg", "my-env").result()
    with pytest.raises(ResourceNotFoundError):
        environments.get("rg", "my-env")
    shared = client.managed_environments.get("rg", "local")  # of the settings, seen from any group
    assert shared.id == environment_path("local", "local")
    with pytest.raises(ResourceNotFoundError, match="change it there"):
        environments.begin_update("rg", "local", {"tags": {"a": "b"}})
    environments.begin_delete("rg", "local").result()
    assert environments.get("local", "local").tags == {}
    with pytest.raises(ResourceExistsError, match="own and cannot be deleted"):
        environments.begin_delete("local", "local")


def test_what_an_environment_cannot_be_is_refused_by_path(control: Turnout) -> None:
    control.must("PUT", group_path("rg"), {"location": "local"})
    wanted = {
        "zoneRedundant": True,
        "vnetConfiguration": {"internal": True},
        "workloadProfiles": [{"name": "d4", "workloadProfileType": "D4"}],
        "customDomainConfiguration": {"dnsSuffix": "example.com"},
    }
    body = {"location": "local", "properties": wanted}
    status, answer = control.call("PUT", environment_path("rg", "e"), body)
    assert (status, {d["target"] for d in answer["error"]["details"]}) == (
        400,
        {
            "properties.zoneRedundant",
            "properties.vnetConfiguration.internal",
            "properties.workloadProfiles[].name",
            "properties.workloadProfiles[].workloadProfileType",
            "properties.customDomainConfiguration.dnsSuffix",
        },
    )
    assert control.call("GET", environment_path("rg", "e"))[0] == 404


def test_the_native_apis_apps_are_in_the_group_that_exists_from_the_start(state: Path) -> None:
    flags = {"admin": "127.0.0.1:0", "state": state, "resource_group": "home", "environment": "e0"}
    with Turnout("control", **flags) as control, sdk(control) as client:
        template = {"containers": [{"image": "endpoint:127.0.0.1:9"}]}
        control.must("PUT", "/v1/apps/shop", {"template": template})
        shown = client.container_apps.get("HOME", "shop")
        assert shown.id == app_path("home", "shop")
        assert shown.environment_id == environment_path("home", "e0")
        assert control.call("DELETE", group_path("home"))[0] == 409
        assert [g["name"] for g in control.must("GET", f"{S}/resourceGroups")["value"]] == ["home"]
        listed = control.must("GET", f"{S}/resources?$filter=resourceGroup%20eq%20'home'")["value"]
        assert [r["name"] for r in listed] == ["shop", "e0"]

        control.must("PUT", group_path("rg"), {"location": "local"})
        moved = {"template": template, "resourceGroup": "rg"}
        assert refusal(control, "PUT", "/v1/apps/shop", moved) == (409, "Conflict")
        made = control.must("PUT", "/v1/apps/blog", moved)
        assert made["resourceGroup"] == "rg"
        assert control.must("PUT", "/v1/apps/blog", made)["version"] == made["version"]
        assert client.container_apps.get("rg", "blog").name == "blog"


def test_groups_and_environments_survive_a_crash(state: Path) -> None:
    flags = {"admin": "127.0.0.1:0", "state": state}
    server = Turnout("control", **flags).wait_ready()
    try:
        server.must("PUT", group_path("rg"), {"location": "local", "tags": {"a": "b"}})
        server.must("PUT", environment_path("rg", "env"), {"location": "local"})
        server.must("PUT", app_path("rg", "shop"), an_app(environment_path("rg", "env")))
    finally:
        server.kill()
    with Turnout("control", **flags) as server:
        assert server.must("GET", group_path("rg"))["tags"] == {"a": "b"}
        properties = server.must("GET", app_path("rg", "shop"))["properties"]
        assert properties["environmentId"] == environment_path("rg", "env")


def test_requests_to_the_wrong_group_leave_the_app_serving(state: Path) -> None:
    with Turnout("up", *FLAGS, state=state, workers=1) as server:
        for group in ("one", "two"):
            server.must("PUT", group_path(group), {"location": "local"})
        body = an_app(environment_path("local", "local"), image="process:demo")
        server.must("PUT", app_path("one", "shop"), body)
        until(lambda: server.get("shop.localhost")[0] == 200)
        assert server.call("DELETE", app_path("two", "shop"))[0] == 204
        assert server.call("POST", app_path("two", "shop") + "/stop")[0] == 404
        assert server.call("PUT", app_path("two", "shop"), body)[0] == 409
        assert server.call("DELETE", group_path("two"))[0] == 200
        assert server.get("shop.localhost")[0] == 200


def test_an_environment_is_made_with_the_workspace_that_az_makes_for_it(
    control: Turnout, client: ContainerAppsAPIClient
) -> None:
    control.must("PUT", group_path("rg"), {"location": "westeurope"})
    kinds = control.must("GET", f"{S}/providers/Microsoft.OperationalInsights")["resourceTypes"]
    assert [(k["resourceType"], "West Europe" in k["locations"]) for k in kinds] == [
        ("workspaces", True)
    ]
    listed = f"{group_path('rg')}/providers/Microsoft.OperationalInsights/workspaces"
    path = f"{listed}/workspace-rg1x2Y"
    made = control.must("PUT", path, {"location": "westeurope", "properties": {}})
    key = control.must("POST", f"{path}/sharedKeys")["primarySharedKey"]
    assert key
    customer = made["properties"]["customerId"]
    logs = {
        "destination": "log-analytics",
        "logAnalyticsConfiguration": {"customerId": customer, "sharedKey": key},
    }
    environments = client.managed_environments
    body = {"location": "westeurope", "properties": {"appLogsConfiguration": logs}}
    environments.begin_create_or_update("rg", "env", body)
    environments.begin_update("rg", "env", {"tags": {"a": "b"}})
    kept = environments.get("rg", "env").app_logs_configuration
    assert kept.destination == "log-analytics"
    assert kept.log_analytics_configuration.customer_id == customer
    again = control.must("GET", path)
    assert again["properties"]["customerId"] == customer
    assert [w["name"] for w in control.must("GET", listed)["value"]] == ["workspace-rg1x2Y"]

    resources = control.must("GET", f"{group_path('rg')}/resources")["value"]
    assert [r["name"] for r in resources] == ["env", "workspace-rg1x2Y"]
    none = {"properties": {"appLogsConfiguration": {"destination": None}}}
    control.must("PATCH", environment_path("rg", "env"), none)
    assert control.must("GET", environment_path("rg", "env"))["properties"][
        "appLogsConfiguration"
    ] is None  # fmt: skip
    assert control.call("DELETE", group_path("rg"))[0] == 200
    assert control.must("GET", f"{S}/providers/Microsoft.OperationalInsights/workspaces") == {
        "value": []
    }


@pytest.mark.parametrize(
    "logs",
    [
        {"destination": "log-analytics", "logAnalyticsConfiguration": {"customerId": "else"}},
        {"destination": "log-analytics"},
        {"destination": "none", "logAnalyticsConfiguration": {"customerId": "else"}},
        {"logAnalyticsConfiguration": {"customerId": "else"}},
    ],
)
def test_a_workspace_of_somewhere_else_is_refused_with_what_to_do(
    control: Turnout, logs: dict[str, Any]
) -> None:
    control.must("PUT", group_path("rg"), {"location": "local"})
    body = {"location": "local", "properties": {"appLogsConfiguration": logs}}
    status, answer = control.call("PUT", environment_path("rg", "env"), body)
    assert (status, "--logs-destination none" in answer["error"]["message"]) == (400, True)
    assert control.call("GET", environment_path("rg", "env"))[0] == 404


def test_a_workspaces_settings_are_refused_by_path(control: Turnout) -> None:
    control.must("PUT", group_path("rg"), {"location": "local"})
    path = f"{group_path('rg')}/providers/Microsoft.OperationalInsights/workspaces/w123"
    asked = {"location": "local", "properties": {"retentionInDays": 730}}
    status, answer = control.call("PUT", path, asked)
    assert (status, answer["error"]["details"][0]["target"]) == (400, "properties.retentionInDays")
    assert control.call("GET", path)[0] == 404
    assert control.call("DELETE", path)[0] == 204


def test_a_template_is_refused_with_what_to_do_instead(control: Turnout) -> None:
    control.must("PUT", group_path("rg"), {"location": "local"})
    path = f"{group_path('rg')}/providers/Microsoft.Resources/deployments/d/validate"
    status, answer = control.call("POST", path, {})
    assert (status, "--yaml FILE" in answer["error"]["message"]) == (404, True)
    tried = control.must("POST", path.replace("validate", "whatIf"), {})  # az reads no refusal
    assert (tried["status"], tried["error"]["message"]) == ("Failed", answer["error"]["message"])


async def test_exec_is_refused_with_a_sentence_that_az_prints(control: Turnout) -> None:
    control.must("PUT", group_path("rg"), {"location": "local"})
    body = an_app(environment_path("local", "local"))
    await asyncio.to_thread(control.must, "PUT", app_path("rg", "shop"), body)
    path = f"{group_path('rg')}/containerApps/shop/revisions/r/replicas/p/containers/web/exec"
    async with aiohttp.ClientSession(headers=control.authorization) as session:
        async with session.ws_connect(f"{control.server}{path}?command=sh") as socket:
            frame = await socket.receive_bytes(timeout=10)
            assert frame[:1] == b"\x02"
            assert b"does not run commands" in frame
            assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        async with session.get(f"{control.server}{path}") as response:
            assert response.status == 400

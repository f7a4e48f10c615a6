"""Azure's own Python SDK, unpatched, drives a control plane through the life of an app."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.serialization import NULL
from azure.mgmt.appcontainers import ContainerAppsAPIClient
from azure.mgmt.appcontainers.aio import ContainerAppsAPIClient as AsyncClient
from azure.mgmt.appcontainers.models import (
    Configuration,
    Container,
    ContainerApp,
    ContainerAppProbe,
    ContainerAppProbeHttpGet,
    ContainerResources,
    EnvironmentVar,
    Ingress,
    Scale,
    Secret,
    Template,
    TrafficWeight,
)

from tests.support.azure import SUBSCRIPTION, LocalAuth, environment_path, group_path, sdk
from tests.support.turnout import Turnout, until, without_apps

ENVIRONMENT = environment_path("rg", "env")


class AsyncCredential:
    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("dev", int(time.time()) + 3600)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> AsyncCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def shared(shared_state: Path) -> Iterator[Turnout]:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    with Turnout("up", state=shared_state / "s", restart_backoff_s=0.2, **flags) as server:
        server.must("PUT", group_path("rg"), {"location": "local"})
        server.must("PUT", ENVIRONMENT, {"location": "local"})
        yield server


@pytest.fixture
def up(shared: Turnout) -> Iterator[Turnout]:
    """The server, which has no apps."""
    yield shared
    without_apps(shared)


@pytest.fixture
def client(up: Turnout) -> Iterator[ContainerAppsAPIClient]:
    with sdk(up) as client:
        yield client


def an_app(
    suffix: str, *, mode: str = "Multiple", command: list[str] | None = None
) -> ContainerApp:
    probe = ContainerAppProbe(
        type="Readiness",
        http_get=ContainerAppProbeHttpGet(path="/healthz", port=80),
        period_seconds=1,
    )
    container = Container(
        name="web",
        image="process:demo" if command is None else "process:",
        command=command,
        env=[EnvironmentVar(name="COLOR", value=suffix)],
        resources=ContainerResources(cpu=0.25, memory="0.5Gi"),
        probes=[probe],
    )
    return ContainerApp(
        location="local",
        environment_id=ENVIRONMENT,
        configuration=Configuration(
            active_revisions_mode="Multiple", ingress=Ingress(external=True, target_port=80)
        ),
        template=Template(
            revision_suffix=suffix,
            containers=[container],
            scale=Scale(min_replicas=1, max_replicas=2),
        ),
    )


def test_the_sdk_walks_the_pages_of_a_list(client: ContainerAppsAPIClient, up: Turnout) -> None:
    template = {"containers": [{"image": "endpoint:127.0.0.1:1"}]}
    body = {"resourceGroup": "rg", "template": template}
    changes = [{"app": f"app{n}", "method": "PUT", "body": body} for n in range(7)]
    up.must("POST", "/v1/transactions", {"changes": changes})
    for n in (3, 7, 9):
        found = client.container_apps.list_by_subscription(params={"$top": str(n)})
        assert [app.name for app in found] == [f"app{n}" for n in range(7)]
    pages = client.container_apps.list_by_resource_group("rg", params={"$top": "3"}).by_page()
    assert [len(list(page)) for page in pages] == [3, 3, 1]


def test_the_life_of_an_app(client: ContainerAppsAPIClient, up: Turnout) -> None:
    apps, revisions = client.container_apps, client.container_apps_revisions

    made = apps.begin_create_or_update("rg", "shop", an_app("v1")).result()
    assert made.provisioning_state == "Succeeded"
    assert made.latest_ready_revision_name == "shop--v1"
    assert made.id.endswith("/resourceGroups/rg/providers/Microsoft.App/containerApps/shop")
    assert made.configuration.ingress.fqdn == "shop.localhost"
    assert "shop--v1" in up.get("shop.localhost")[2]

    _split(client, up)
    revisions.deactivate_revision("rg", "shop", "shop--v1")
    assert revisions.get_revision("rg", "shop", "shop--v1").active is False
    revisions.activate_revision("rg", "shop", "shop--v1")
    until(lambda: revisions.get_revision("rg", "shop", "shop--v1").health_state == "Healthy")
    revisions.restart_revision("rg", "shop", "shop--v2")
    replicas = client.container_apps_revision_replicas
    (replica, *_) = replicas.list_replicas("rg", "shop", "shop--v2").value
    assert replica.containers[0].name == "web"
    assert replicas.get_replica("rg", "shop", "shop--v2", replica.name).name == replica.name

    apps.begin_stop("rg", "shop").result()
    until(lambda: up.get("shop.localhost")[0] == 503)
    apps.begin_start("rg", "shop").result()
    until(lambda: up.get("shop.localhost")[0] == 200)

    assert [a.name for a in apps.list_by_resource_group("rg")] == ["shop"]
    assert [a.name for a in apps.list_by_subscription()] == ["shop"]
    assert apps.list_secrets("rg", "shop").value == []
    apps.begin_delete("rg", "shop").result()
    with pytest.raises(ResourceNotFoundError):
        apps.get("rg", "shop")
    apps.begin_delete("rg", "shop").result()  # what is gone may be deleted again


def _split(client: ContainerAppsAPIClient, up: Turnout) -> None:
    """A second revision, labels, and all the weight to it."""
    apps, revisions = client.container_apps, client.container_apps_revisions
    changed = an_app("v2")
    changed.configuration.ingress.traffic = [TrafficWeight(revision_name="shop--v1", weight=100)]
    apps.begin_update("rg", "shop", changed).result()
    names = {r.name: r for r in revisions.list_revisions("rg", "shop")}
    assert set(names) == {"shop--v1", "shop--v2"}
    assert names["shop--v1"].traffic_weight == 100
    assert names["shop--v2"].provisioning_state == "Provisioned"

    weights = [
        TrafficWeight(revision_name="shop--v1", weight=50, label="blue"),
        TrafficWeight(revision_name="shop--v2", weight=50, label="green"),
    ]
    split = ContainerApp(
        location="local", configuration=Configuration(ingress=Ingress(traffic=weights))
    )
    apps.begin_update("rg", "shop", split).result()
    until(lambda: "shop--v2" in up.get("shop---green.localhost")[2])
    found = revisions.get_revision("rg", "shop", "shop--v2")
    assert (found.traffic_weight, found.active, found.fqdn) == (50, True, "shop--v2.localhost")

    only = [TrafficWeight(revision_name="shop--v2", weight=100)]
    split.configuration.ingress.traffic = only
    apps.begin_update("rg", "shop", split).result()


def test_secrets_are_written_read_only_on_request_and_taken_by_restarts(
    client: ContainerAppsAPIClient, up: Turnout
) -> None:
    apps, revisions = client.container_apps, client.container_apps_revisions
    wanted = an_app("v1")
    wanted.configuration.secrets = [Secret(name="greeting", value="red")]
    wanted.template.containers[0].env = [EnvironmentVar(name="COLOR", secret_ref="greeting")]
    made = apps.begin_create_or_update("rg", "shop", wanted).result()
    assert [(s.name, s.value) for s in made.configuration.secrets] == [("greeting", None)]
    assert [(s.name, s.value) for s in apps.list_secrets("rg", "shop").value] == [
        ("greeting", "red")
    ]
    assert "red" in up.get("shop.localhost")[2]

    # what was read has no values, and put back it takes none away
    again = apps.get("rg", "shop")
    again.configuration.secrets.append(Secret(name="other", value="x"))
    apps.begin_create_or_update("rg", "shop", again).result()
    found = {s.name: s.value for s in apps.list_secrets("rg", "shop").value}
    assert found == {"greeting": "red", "other": "x"}

    changed = [Secret(name="greeting", value="blue"), Secret(name="other", value="x")]
    patch = ContainerApp(location="local", configuration=Configuration(secrets=changed))
    apps.begin_update("rg", "shop", patch).result()
    assert [r.name for r in revisions.list_revisions("rg", "shop")] == ["shop--v1"]
    revisions.restart_revision("rg", "shop", "shop--v1")
    until(lambda: "blue" in up.get("shop.localhost")[2])

    still_used = Configuration(secrets=[Secret(name="other", value="x")])
    with pytest.raises(HttpResponseError, match="greeting") as refused:
        apps.begin_update("rg", "shop", ContainerApp(location="local", configuration=still_used))
    assert refused.value.status_code == 400


def test_what_the_sdk_read_may_be_put_back(client: ContainerAppsAPIClient) -> None:
    apps = client.container_apps
    apps.begin_create_or_update("rg", "shop", an_app("v1")).result()
    got = apps.get("rg", "shop")
    got.configuration.active_revisions_mode = "Single"
    again = apps.begin_create_or_update("rg", "shop", got).result()
    assert again.configuration.active_revisions_mode == "Single"
    assert again.latest_revision_name == "shop--v1"


def test_ingress_goes_with_null(client: ContainerAppsAPIClient, up: Turnout) -> None:
    apps = client.container_apps
    apps.begin_create_or_update("rg", "shop", an_app("v1")).result()
    patch = {"properties": {"configuration": {"ingress": NULL}}}
    assert apps.begin_update("rg", "shop", patch).result().configuration.ingress is None
    until(lambda: up.get("shop.localhost")[0] == 404)


def test_a_revision_that_fails_fails_the_operation(client: ContainerAppsAPIClient) -> None:
    bad = an_app("bad", command=["/bin/sh", "-c", "exit 3"])
    with pytest.raises(HttpResponseError, match="provision revision") as raised:
        client.container_apps.begin_create_or_update("rg", "shop", bad).result(timeout=90)
    assert raised.value.error is not None
    assert raised.value.error.code == "ContainerAppOperationError"
    revision = client.container_apps_revisions.get_revision("rg", "shop", "shop--bad")
    assert revision.provisioning_state == "Failed"
    assert revision.provisioning_error


def test_errors_have_azures_classes_and_codes(client: ContainerAppsAPIClient) -> None:
    apps = client.container_apps
    with pytest.raises(ResourceNotFoundError) as missing:
        apps.get("rg", "nobody")
    assert missing.value.error.code == "ResourceNotFound"
    wrong = an_app("v1")
    wrong.configuration.ingress.traffic = [TrafficWeight(latest_revision=True, weight=60)]
    with pytest.raises(HttpResponseError) as refused:
        apps.begin_create_or_update("rg", "shop", wrong)
    assert refused.value.status_code == 400
    assert "60" in refused.value.message
    wrong.configuration.ingress.traffic = None
    wrong.configuration.ingress.transport = "http2"
    with pytest.raises(HttpResponseError, match="transport"):
        apps.begin_create_or_update("rg", "shop", wrong)


def test_a_custom_domain_is_free_until_an_app_has_it(client: ContainerAppsAPIClient) -> None:
    apps = client.container_apps
    for name in ("shop", "blog"):
        apps.begin_create_or_update("rg", name, an_app("v1"), polling=False)
    free = apps.list_custom_host_name_analysis("rg", "blog", custom_hostname="a.example.com")
    assert (free.custom_domain_verification_test, free.has_conflict_on_managed_environment) == (
        "Passed", False,
    )  # fmt: skip
    domain = {"name": "a.example.com", "bindingType": "Disabled"}
    patch = {"properties": {"configuration": {"ingress": {"customDomains": [domain]}}}}
    apps.begin_update("rg", "shop", patch, polling=False)
    taken = apps.list_custom_host_name_analysis("rg", "blog", custom_hostname="a.example.com")
    assert taken.has_conflict_on_managed_environment is True
    assert taken.conflicting_container_app_resource_id == apps.get("rg", "shop").id
    own = apps.list_custom_host_name_analysis("rg", "shop", custom_hostname="a.example.com")
    assert (own.has_conflict_on_managed_environment, own.is_hostname_already_verified) == (
        False, True,
    )  # fmt: skip


def test_a_conflict_and_a_missing_token_have_classes_of_their_own(
    client: ContainerAppsAPIClient, tmp_path: Path, state: Path
) -> None:
    for suffix in ("v1", "v2"):
        client.container_apps.begin_create_or_update("rg", "shop", an_app(suffix)).result()
    with pytest.raises(ResourceExistsError, match="shop--v2 has 100 %") as conflict:
        client.container_apps_revisions.deactivate_revision("rg", "shop", "shop--v2")
    assert conflict.value.status_code == 409

    (tmp_path / "tokens").write_text("ci write another-token-of-some-length\n")
    flags = {"admin": "127.0.0.1:0", "state": state / "other", "token_file": tmp_path / "tokens"}
    with (
        Turnout("control", **flags) as guarded,
        sdk(guarded) as stranger,
        pytest.raises(ClientAuthenticationError),
    ):
        stranger.container_apps.get("rg", "shop")


def test_paths_are_read_as_az_writes_them(up: Turnout) -> None:
    """In any case, with doubled and trailing slashes."""
    path = (
        f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/Microsoft.App//ContainerApps/"
    )
    assert up.must("GET", path) == {"value": []}
    provider = up.must("GET", f"//subscriptions/{SUBSCRIPTION}/providers/Microsoft.App")
    assert provider["registrationState"] == "Registered"
    status, answer = up.call("GET", f"/subscriptions/{SUBSCRIPTION}/nonsense")
    assert (status, answer["error"]["code"]) == (404, "ResourceNotFound")
    assert up.must("GET", ENVIRONMENT)["properties"]["defaultDomain"] == "localhost"
    assert up.call("GET", ENVIRONMENT + "-other")[0] == 404


async def test_the_async_client_works_too(up: Turnout) -> None:
    async with AsyncClient(
        AsyncCredential(), SUBSCRIPTION, base_url=up.server, authentication_policy=LocalAuth(up)
    ) as client:
        poller = await client.container_apps.begin_create_or_update("rg", "shop", an_app("v1"))
        made = await poller.result()
        assert made.latest_ready_revision_name == "shop--v1"
        names = [r.name async for r in client.container_apps_revisions.list_revisions("rg", "shop")]
        assert names == ["shop--v1"]
        assert (await asyncio.to_thread(up.get, "shop.localhost"))[0] == 200
        poller = await client.container_apps.begin_delete("rg", "shop")
        await poller.result()

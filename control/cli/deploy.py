"""`turnout deploy`: create or update an app, and wait until its new revision is ready."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api, console, errors, fail
from control.cli.options import App, EnvVars, NoWait, is_external, merged, pairs
from control.cli.output import REVISIONS, Format, Output, Server, show
from control.cli.waiting import READY_S, wait_ready


def deploy(
    app: App,
    image: Annotated[
        str,
        typer.Option("--image", help="process:, process:demo, endpoint:HOST:PORT, or an image."),
    ] = "",
    command: Annotated[
        list[str] | None, typer.Option("--command", help="Program and arguments; repeat for each.")
    ] = None,
    args: Annotated[
        list[str] | None, typer.Option("--args", help="Arguments; repeat for each.")
    ] = None,
    env: EnvVars = None,
    secrets: Annotated[
        list[str] | None, typer.Option("--secrets", help="NAME=VALUE; repeat for each.")
    ] = None,
    cpu: Annotated[float | None, typer.Option("--cpu", help="Cores, such as 0.5.")] = None,
    memory: Annotated[str, typer.Option("--memory", help="Such as 0.5Gi.")] = "",
    revision_suffix: Annotated[
        str, typer.Option("--revision-suffix", help="Name of the new revision; default: made up.")
    ] = "",
    min_replicas: Annotated[int | None, typer.Option("--min-replicas", min=0)] = None,
    max_replicas: Annotated[int | None, typer.Option("--max-replicas", min=1)] = None,
    target_port: Annotated[int | None, typer.Option("--target-port")] = None,
    ingress: Annotated[
        str,
        typer.Option(
            "--ingress", help="external, or internal: only for the router's internal_networks."
        ),
    ] = "",
    probe_path: Annotated[
        str, typer.Option("--probe-path", help="Path that answers 2xx or 3xx once ready.")
    ] = "",
    revisions_mode: Annotated[
        str, typer.Option("--revisions-mode", help="single, multiple or labels; default: as is.")
    ] = "",
    target_label: Annotated[
        str, typer.Option("--target-label", help="Labels mode: the label that the revision gets.")
    ] = "",
    no_wait: NoWait = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = READY_S,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Create or update an app. What is not given stays as it is."""
    api = Api(server)
    old = api.find("apps", app)
    if old is None and not image:
        fail(f"there is no app {app} yet; create it with --image", 2)
    main = {
        "image": image,
        "command": command,
        "args": args,
        "env": merged([], env),
        "resources": _given(cpu=cpu, memory=memory or None),
        "probes": _probes(probe_path, target_port or 80) if probe_path else None,
    }
    body = _body(old, main, _given(minReplicas=min_replicas, maxReplicas=max_replicas))
    body["template"]["revisionSuffix"] = revision_suffix
    configuration = body["configuration"] = _given(
        activeRevisionsMode=revisions_mode or None, targetLabel=target_label or None
    )
    if target_port is not None or ingress or old is None:
        configuration["ingress"] = _given(targetPort=target_port, external=is_external(ingress))
    if secrets:  # those that are only named keep their values
        known = old["configuration"].get("secrets", []) if old else []
        named = {secret["name"]: secret for secret in [*known, *pairs(secrets)]}
        configuration["secrets"] = list(named.values())
    after = api.call("PATCH" if old else "PUT", ("apps", app), body)
    if old is not None and after["latestRevisionName"] == old["latestRevisionName"]:
        _tell_same(after)
    if not no_wait:
        wait_ready(api, app, after["latestRevisionName"], timeout)
    show(api.get("apps", app, "revisions", after["latestRevisionName"]), REVISIONS, output)
    fqdn = (after["configuration"]["ingress"] or {}).get("fqdn")
    if fqdn and output is Format.TABLE:
        console.print(f"{app} answers at {fqdn}")


def _tell_same(app: dict[str, Any]) -> None:
    latest, is_tried = app["latestRevisionName"], app["provisioningState"] == "InProgress"
    what = "is tried again" if is_tried else "is unchanged"
    errors.print(f"{app['name']} {what}: {latest} has this template already")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _body(
    old: dict[str, Any] | None, main: dict[str, Any], scale: dict[str, int]
) -> dict[str, Any]:
    """A PUT for a new app, a merge patch for one that is there; what is unset stays."""
    container = dict(old["template"]["containers"][0]) if old else {"name": "main"}
    container |= {key: value for key, value in main.items() if value}
    template: dict[str, Any] = {"containers": [container]}
    if old:  # its other containers stay
        template["containers"] += old["template"]["containers"][1:]
    if scale:
        template["scale"] = scale
    return {"template": template}


def _probes(path: str, port: int) -> list[dict[str, Any]]:
    get = {"path": path, "port": port}
    startup = {"type": "Startup", "periodSeconds": 1, "failureThreshold": 240}
    readiness = {"type": "Readiness", "periodSeconds": 5, "failureThreshold": 3}
    return [{**probe, "httpGet": get} for probe in (startup, readiness)]

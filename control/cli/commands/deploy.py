"""`turnout deploy`: create or update an app, and wait until its new revision is ready."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from control.cli.client import Api, console, errors, fail
from control.cli.options import App, EnvVars, NoWait, is_external, merged, pairs, without
from control.cli.output import REVISIONS, Format, Output, Server, show
from control.cli.waiting import READY_S, interruptible, wait_ready, wait_settled
from control.cli.who_serves import who_serves

Wire = dict[str, Any]


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
    remove_env: Annotated[
        list[str] | None,
        typer.Option("--remove-env-vars", help="NAME of a variable to drop; repeat for each."),
    ] = None,
    replace_env: Annotated[
        list[str] | None,
        typer.Option("--replace-env-vars", help="NAME=VALUE; drops all others; repeat for each."),
    ] = None,
    remove_all_env: Annotated[
        bool, typer.Option("--remove-all-env-vars", help="Drop all variables.")
    ] = False,
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
    force: Annotated[
        bool,
        typer.Option("--force", help="A new revision although nothing changed; pulls its image."),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel", help="Give up the deploy or rollback under way instead; who serves stays."
        ),
    ] = False,
    no_wait: NoWait = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = READY_S,
    output: Output = Format.TABLE,
    server: Server = "",
) -> None:
    """Create or update an app. What is not given stays as in the revision that serves.

    While a deploy is under way it stays as in the revision that is about to serve.
    """
    api = Api(server)
    if cancel:
        _cancel(api, app, output)
        return
    old = api.find("apps", app)
    if old is None and not image:
        fail(f"there is no app {app} yet; create it with --image", 2)
    container = _base(old, image, command)
    changed = {
        "image": image,
        "command": command,
        "args": args,
        "resources": _given(cpu=cpu, memory=memory or None),
        "probes": _probes(probe_path, target_port or _port_of(old) or 80) if probe_path else None,
    }
    container |= {key: value for key, value in changed.items() if value}
    variables = [] if remove_all_env or replace_env else container.get("env", [])
    container["env"] = merged(without(variables, remove_env), [*(replace_env or []), *(env or [])])
    if target_port is not None and not probe_path:
        container["probes"] = _moved(container.get("probes", []), _port_of(old), target_port)
    template: Wire = {"revisionSuffix": revision_suffix}
    template["containers"] = [container, *(old["template"]["containers"][1:] if old else [])]
    if scale := _given(minReplicas=min_replicas, maxReplicas=max_replicas):
        template["scale"] = scale
    configuration = _given(
        activeRevisionsMode=revisions_mode or None, targetLabel=target_label or None
    )
    if target_port is not None or ingress or old is None:
        configuration["ingress"] = _given(targetPort=target_port, external=is_external(ingress))
    if secrets:  # those that are only named keep their values
        known = old["configuration"].get("secrets", []) if old else []
        named = {secret["name"]: secret for secret in [*known, *pairs(secrets)]}
        configuration["secrets"] = list(named.values())
    body = {"template": template, "configuration": configuration}
    after = _sent(api, old, f"{app}?force=true" if force else app, body)
    revision = revision_of(after)
    if not no_wait:
        wait_ready(api, app, revision, timeout)
        if target_port is not None:  # of a revision that is ready it changes all the same
            _check_port(wait_settled(api, app), old, revision, target_port)
    show(api.get("apps", app, "revisions", revision), REVISIONS, output)
    fqdn = (after["configuration"]["ingress"] or {}).get("fqdn")
    if fqdn and output is Format.TABLE:
        console.print(f"{after['name']} answers at {api.url_of(fqdn)}")


def _check_port(now: Wire, old: Wire | None, revision: str, asked: int) -> None:
    """Leaves when somebody gave up the move of a revision that there was to another port."""
    stays_at = (now["configuration"]["ingress"] or {}).get("targetPort")
    if old is not None and revision == revision_of(old) and stays_at != asked:
        fail(f"target port {asked} was given up; {now['name']} stays at {stays_at}")


def revision_of(app: Wire) -> str:
    """The revision that an app's template is that of: about to serve, or serving."""
    return f"{app['name']}--{app['template']['revisionSuffix']}"


def _sent(api: Api, old: Wire | None, path: str, body: Wire) -> Wire:
    """The app as the deploy makes it, with a word on what that builds on."""
    if old is None:
        return dict(api.call("PUT", ("apps", path), body))
    latest = _latest(api, old)
    with interruptible("the deploy", old["name"]):
        after: Wire = api.call("PATCH", ("apps", path), body)
        _tell(api, old, after, latest)
    return after


def _cancel(api: Api, app: str, output: Format) -> None:
    wire = api.call("POST", ("apps", app, "cancel"))
    if output is not Format.TABLE:
        show(wire, (), output)
        return
    console.print(f"{wire['cancelled']} is dropped; {who_serves(api, app)}")


def _latest(api: Api, app: Wire | None) -> Wire:
    """The newest revision; none of an app that is new."""
    if app is None:
        return {}
    return api.find("apps", app["name"], "revisions", app["latestRevisionName"]) or {}


def _tell(api: Api, old: Wire, after: Wire, latest: Wire) -> None:
    """What a deploy builds on, or that there is nothing new in it; `latest` was it before."""
    revision, base = revision_of(after), revision_of(old)
    # A corrected deploy may have the name of one that failed.
    if _latest(api, after).get("uid") == latest.get("uid"):
        errors.print(f"{after['name']} {_same(old, after)}")
        return
    if base != old["latestRevisionName"]:
        latest_name = old["latestRevisionName"]
        other = f"the {revision} before it" if latest_name == revision else latest_name
        errors.print(
            f"{revision} builds on {base}, and not on {other}, "
            "which failed, was cancelled or was rolled back"
        )
    elif latest.get("provisioningState") == "Provisioned":
        errors.print(f"{revision} builds on {base}")
    else:
        errors.print(
            f"{revision} builds on {base}, which is not ready; to build on what serves: "
            f"turnout deploy {after['name']} --cancel, and deploy again",
            soft_wrap=True,
        )
    _tell_taking(api, after)


def _tell_taking(api: Api, after: Wire) -> None:
    """That a new revision takes traffic by itself, in a mode where one may want to decide that."""
    app, revision = after["name"], revision_of(after)
    configuration = after["configuration"]
    rules = (configuration["ingress"] or {}).get("traffic", [])
    weight = sum(rule["weight"] for rule in rules if rule.get("latestRevision"))
    if not weight or configuration["activeRevisionsMode"] != "Multiple":
        return
    serves = api.get("apps", app, "traffic").get("latestServes")
    if serves in (None, revision):
        return
    errors.print(
        f"traffic follows the latest: {revision} takes {weight} % once it is ready; to decide that"
        f" yourself: turnout traffic set {app} --revision-weight {serves}=100",
        soft_wrap=True,
    )


def _same(old: Wire, after: Wire) -> str:
    """What became of a deploy whose template there is a revision of."""
    revision, is_under_way = revision_of(after), after["provisioningState"] == "InProgress"
    if _port_of(old) != _port_of(after) and is_under_way:
        return f"keeps {revision}, which moves to port {_port_of(after)} once it answers there"
    what = f"{revision} has this template already"
    if is_under_way:
        return f"is tried again: {what}"
    image = ", and the same image" if after.get("sameImage") else ""
    return f"is unchanged: {what}{image}; to deploy it all the same: --force"


def _refuse_sentence(command: list[str] | None) -> None:
    """A command line in one piece would be looked for as a program of that name."""
    if not command or len(command) > 1 or len(command[0].split()) < 2:
        return
    words = " ".join(f"--command {word}" for word in command[0].split())
    fail(
        f"{command[0]!r} is one word to a program; give each word its own: {words}; for variables "
        f"such as $PORT: --command sh --command -c --command {shlex.quote(command[0])}",
        2,
    )


def _base(old: Wire | None, image: str, command: list[str] | None) -> Wire:
    """The container as it is; the demo is a program of its own, and takes no other's command."""
    _refuse_sentence(command)
    container: Wire = dict(old["template"]["containers"][0]) if old else {"name": "main"}
    if image == "process:demo":
        container = {k: v for k, v in container.items() if k not in ("command", "args")}
    return container


def _given(**values: Any) -> Wire:
    return {name: value for name, value in values.items() if value is not None}


def _port_of(app: Wire | None) -> int | None:
    port: int | None = ((app or {}).get("configuration", {}).get("ingress") or {}).get("targetPort")
    return port


def _probes(path: str, port: int) -> list[Wire]:
    get = {"path": path, "port": port}
    startup = {"type": "Startup", "periodSeconds": 1, "failureThreshold": 240}
    readiness = {"type": "Readiness", "periodSeconds": 5, "failureThreshold": 3}
    return [{**probe, "httpGet": get} for probe in (startup, readiness)]


def _moved(probes: list[Wire], old: int | None, new: int) -> list[Wire]:
    """The probes with those of the old target port asking the new one."""
    return [
        {
            key: {**value, "port": new}
            if key in ("httpGet", "tcpSocket") and value.get("port") == old
            else value
            for key, value in probe.items()
        }
        for probe in probes
    ]

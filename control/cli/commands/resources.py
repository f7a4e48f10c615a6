"""The day-to-day nouns: app, revision, traffic."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control.cli.client import Api, console, fail, printable
from control.cli.commands.deploy import revision_of
from control.cli.discovered import discovered
from control.cli.options import App, EnvVars, NoWait, RevisionName, full_name, merged
from control.cli.output import REVISIONS, TRAFFIC, Format, Output, Server, show, show_apps
from control.cli.waiting import READY_S, wait_ready

app_commands = typer.Typer(no_args_is_help=True, help="Apps.")
revision_commands = typer.Typer(no_args_is_help=True, help="Revisions of an app.")
traffic_commands = typer.Typer(no_args_is_help=True, help="How requests are split.")

JSON, TABLE = Format.JSON, Format.TABLE


@app_commands.command("list")
def list_apps(output: Output = TABLE, server: Server = "") -> None:
    """List the apps; also those that only a router knows, by a file or containers' labels."""
    api = Api(server)
    apps = api.every("apps") if api.is_control_plane() else []
    if output is TABLE:
        known = {app["name"] for app in apps}
        apps += [a for a in discovered(api.table()) if a["name"] not in known]
    show_apps(api, apps, output)


@app_commands.command("show")
def show_app(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Show one app."""
    api = Api(server)
    show_apps(api, api.get("apps", app), output)


@app_commands.command("delete")
def delete_app(
    app: App,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = "",
) -> None:
    """Delete an app and all its revisions."""
    api = Api(server)
    if not yes and not typer.confirm(f"Delete {app} and all its revisions?"):
        raise typer.Exit(1)
    api.call("DELETE", ("apps", app))
    console.print(f"{app} deleted")


@app_commands.command("stop")
def stop_app(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Take all replicas of an app down."""
    api = Api(server)
    show_apps(api, api.call("POST", ("apps", app, "stop")), output)


@app_commands.command("start")
def start_app(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Bring a stopped app back."""
    api = Api(server)
    wire = api.call("POST", ("apps", app, "start"))
    show_apps(api, wire, output)
    if wire["runningStatus"] == "Stopped":  # all of it rests
        revision = wire["latestReadyRevisionName"] or wire["latestRevisionName"]
        fail(
            f"{app} has no active revision; bring one back: "
            f"turnout revision activate {app} --revision {revision}"
        )


@revision_commands.command("list")
def list_revisions(
    app: App,
    all_: Annotated[bool, typer.Option("--all", help="Inactive ones too.")] = False,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """List the active revisions of an app, newest first."""
    found = Api(server).every("apps", app, "revisions")
    show([r for r in found if all_ or r["active"]], REVISIONS, output)


@revision_commands.command("show")
def show_revision(
    app: App, revision: RevisionName, output: Output = TABLE, server: Server = ""
) -> None:
    """Show one revision."""
    name = full_name(app, revision)
    wire = Api(server).get("apps", app, "revisions", name)
    show(wire, REVISIONS, output)
    if output is TABLE and (reason := reason_of(wire)):
        console.print(printable(reason), soft_wrap=True)


def reason_of(revision: dict[str, Any]) -> str:
    """Why a revision does not do what it should; empty for one that does, or rests as asked."""
    if revision.get("healthState") in ("Unhealthy", "None"):
        return str(revision["runningStateDetails"])
    return str(revision.get("provisioningError", ""))


def _act(verb: str, app: str, revision: str, output: Format, server: str) -> None:
    path = ("apps", app, "revisions", full_name(app, revision), verb)
    show(Api(server).call("POST", path), REVISIONS, output)


@revision_commands.command("activate")
def activate(
    app: App,
    revision: RevisionName,
    no_wait: NoWait = False,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Bring a revision back and wait until it is ready; in single mode it then takes over."""
    api = Api(server)
    revision = full_name(app, revision)
    api.call("POST", ("apps", app, "revisions", revision, "activate"))
    if not no_wait:
        wait_ready(api, app, revision, READY_S)
    show(api.get("apps", app, "revisions", revision), REVISIONS, output)


@revision_commands.command("deactivate")
def deactivate(
    app: App, revision: RevisionName, output: Output = TABLE, server: Server = ""
) -> None:
    """Send a revision to rest: its replicas finish their requests and end."""
    _act("deactivate", app, revision, output, server)


@revision_commands.command("restart")
def restart(app: App, revision: RevisionName, output: Output = TABLE, server: Server = "") -> None:
    """Replace a revision's replicas, one at a time."""
    _act("restart", app, revision, output, server)


@revision_commands.command("set-mode")
def set_mode(
    app: App,
    mode: Annotated[str, typer.Option("--mode", help="single, multiple or labels.")],
    target_label: Annotated[
        str, typer.Option("--target-label", help="Into labels mode: for who serves now.")
    ] = "",
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Switch between one serving revision, several, and those that labels name."""
    body = {"mode": mode, "targetLabel": target_label}
    api = Api(server)
    show_apps(api, api.call("PUT", ("apps", app, "mode"), body), output)


@revision_commands.command("copy")
def copy_revision(
    app: App,
    from_revision: Annotated[
        str, typer.Option("--from-revision", help="What to copy; default: what serves.")
    ] = "",
    revision_suffix: Annotated[str, typer.Option("--revision-suffix")] = "",
    image: Annotated[str, typer.Option("--image", help="Another image for its container.")] = "",
    env: EnvVars = None,
    target_label: Annotated[
        str, typer.Option("--target-label", help="Labels mode: the label that the copy gets.")
    ] = "",
    no_wait: NoWait = False,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Deploy again what a revision runs, the named one and not the latest, with changes."""
    api = Api(server)
    base = full_name(app, from_revision) or revision_of(api.get("apps", app))
    template = api.get("apps", app, "revisions", base)["template"]
    patch: dict[str, Any] = {"revisionSuffix": revision_suffix, "targetLabel": target_label}
    if image or env:
        container = template["containers"][0]
        container |= {"image": image or container["image"]}
        container["env"] = merged(container.get("env", []), env)
        patch["containers"] = template["containers"]
    wire = api.call("POST", ("apps", app, "revisions", base, "copy"), patch)
    copied = revision_of(wire)
    if not no_wait:
        wait_ready(api, app, copied, READY_S)
    show(api.get("apps", app, "revisions", copied), REVISIONS, output)


@traffic_commands.command("show")
def show_traffic(app: App, output: Output = TABLE, server: Server = "") -> None:
    """Show the traffic rules, and the revision that each of them means now."""
    show_traffic_of(Api(server), app, output)


def show_traffic_of(api: Api, app: str, output: Format) -> None:
    """Print the rules; a table also says who serves by them."""
    wire = api.get("apps", app, "traffic")
    if output is TABLE:
        for rule in wire["traffic"]:
            rule["serves"] = rule.get("revisionName") or wire.get("latestServes", "nobody")
    show(wire["traffic"], TRAFFIC, output)


@traffic_commands.command("set")
def set_traffic(
    app: App,
    revision_weight: Annotated[
        list[str] | None,
        typer.Option("--revision-weight", help="NAME=80 or latest=20; repeat for each."),
    ] = None,
    label_weight: Annotated[
        list[str] | None, typer.Option("--label-weight", help="LABEL=80; repeat for each.")
    ] = None,
    output: Output = TABLE,
    server: Server = "",
) -> None:
    """Set weights; revisions that are not named get none, labels stay where they are."""
    api = Api(server)
    given = [_pair(text) for text in revision_weight or []]
    labelled = [_pair(text) for text in label_weight or []]
    if not given and not labelled:
        fail("give --revision-weight NAME=WEIGHT or --label-weight LABEL=WEIGHT", 2)
    rules = _rules(api.get("apps", app, "traffic")["traffic"], app, given, labelled)
    api.call("PUT", ("apps", app, "traffic"), {"traffic": rules})
    show_traffic_of(api, app, output)


def _pair(text: str) -> tuple[str, int]:
    name, equals, weight = text.rpartition("=")
    if not equals or not weight.isascii() or not weight.isdigit():
        fail(f"{text!r} is not NAME=WEIGHT, such as album-api--v1=80", 2)
    return name, int(weight)


def _rules(
    old: list[dict[str, Any]],
    app: str,
    given: list[tuple[str, int]],
    labelled: list[tuple[str, int]],
) -> list[dict[str, Any]]:
    """The new rules: named ones with their weights, and labels that would be lost."""
    weights: dict[str, int] = {}
    for name, weight in given:
        full = name if name.lower() == "latest" else full_name(app, name)
        weights[full.lower()] = weight
    for label, weight in labelled:
        owner = next((r for r in old if r.get("label") == label.lower()), None)
        if owner is None:
            fail(
                f"no revision of {app} holds the label {label}; give it to one: "
                f"turnout label add {app} --label {label} --revision REVISION"
            )
        weights[owner.get("revisionName", "latest")] = weight
    rules = []
    for rule in old:
        name = rule.get("revisionName", "latest")
        weight = weights.pop(name, 0)
        if weight or rule.get("label"):
            rules.append({**rule, "weight": weight})
    for name, weight in weights.items():
        target = {"latestRevision": True} if name == "latest" else {"revisionName": name}
        rules.append({**target, "weight": weight})
    return rules

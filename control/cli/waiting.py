"""Waits for a revision, and shows how it comes up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from control.cli.client import INTERRUPTED, Api, console, errors, fail, printable
from control.cli.output import Server

_POLL_S = 0.2
READY_S = 660.0  # a minute more than the default progress deadline, whose message says more


def wait(
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 60.0,
    server: Server = "",
) -> None:
    """Wait until a control plane and its router serve, such as after `turnout up &`."""
    api = Api(server)
    ends_at = time.monotonic() + timeout
    while not api.is_ready():
        if time.monotonic() > ends_at:
            fail(f"{api.server} is not ready after {timeout:.0f} s; see what turnout up printed")
        time.sleep(_POLL_S)
    console.print(f"{api.server} is ready")


def next_steps(app: str) -> str:
    """The commands to type next for something that is under way."""
    return f"  how it goes: turnout status {app}\n  give it up:  turnout deploy {app} --cancel"


@contextlib.contextmanager
def interruptible(what: str, app: str) -> Iterator[None]:
    """On Ctrl-C, say that only the waiting ended, and how to stop what was waited for."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print(
            f"not waiting any longer: {what} goes on, and whoever serves now serves until then\n"
            f"{next_steps(app)}"
        )
        raise typer.Exit(INTERRUPTED) from None


def wait_ready(api: Api, app: str, revision: str, timeout_s: float) -> None:
    """Show how a revision comes up; exits with its reason when it fails."""
    with interruptible(f"the start of {revision}", app):
        _wait_ready(api, app, revision, timeout_s)


def _wait_ready(api: Api, app: str, revision: str, timeout_s: float) -> None:
    from rich.status import Status

    ends_at = time.monotonic() + timeout_s
    seen: dict[str, str] = {}
    uid = ""
    with Status(line(revision, "starting"), console=errors) as status:
        while True:
            wire = api.get("apps", app, "revisions", revision)
            if uid not in ("", wire["uid"]):
                fail(f"{revision} did not become ready; a newer deploy took its name")
            uid = wire["uid"]
            state = wire.get("provisioningState")
            details = wire.get("runningStateDetails", "")
            if not wire["active"] and wire.get("provisioningError"):
                fail(f"{revision} failed: {wire['provisioningError']}")
            if state == "Provisioned":
                _tell_replicas(api, app, revision, seen)
                return
            if state == "Failed":
                fail(f"{revision} failed: {details}")
            if not wire["active"]:
                fail(
                    f"{revision} was deactivated before it was ready: it was cancelled, or a newer "
                    "one took its place"
                )
            if wire.get("runningState") == "Stopped":
                fail(f"app {app} is stopped, and {revision} with it: turnout app start {app}")
            if time.monotonic() > ends_at:
                errors.print(
                    f"it goes on, and whoever serves now serves until then\n{next_steps(app)}"
                )
                fail(f"{revision} is not ready after {timeout_s:.0f} s: {details}")
            seen = _tell_replicas(api, app, revision, seen)
            status.update(line(revision, f"{wire.get('runningState')}, {details}"))
            time.sleep(_POLL_S)


def line(name: str, words: str) -> Text:
    """A line of progress, as Text because a spinner reads markup whatever its console does."""
    return Text(printable(f"{name}: {words}"))


def _tell_replicas(api: Api, app: str, revision: str, seen: dict[str, str]) -> dict[str, str]:
    """A line for each replica whose state changed; `seen` is what they last reported."""
    replicas = api.every("apps", app, "revisions", revision, "replicas")
    said = {r["name"]: f"{r['state']} {r['runningStateDetails']}".strip() for r in replicas}
    for name, words in said.items():
        if seen.get(name) != words:
            errors.print(printable(f"{name}: {words}"))
    return said


def wait_settled(api: Api, app: str) -> dict[str, Any]:
    """Wait until nothing is under way in an app, and return it; exits if that failed."""
    with interruptible(f"what is under way in {app}", app):
        return _wait_settled(api, app)


def _wait_settled(api: Api, app: str) -> dict[str, Any]:
    from rich.status import Status

    ends_at = time.monotonic() + READY_S
    with Status(line(app, "waiting for its revisions"), console=errors):
        while (wire := api.get("apps", app))["provisioningState"] == "InProgress":
            if time.monotonic() > ends_at:
                fail(f"{app} is still waiting for its revisions; see: turnout revision list {app}")
            time.sleep(_POLL_S)
    if problem := wire.get("provisioningError"):
        fail(problem)
    found: dict[str, Any] = wire
    return found

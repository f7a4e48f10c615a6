"""The servers: up, router, control, demo; and check."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from control.cli.client import console, errors, fail
from control.cli.options import State
from control.launcher import Launcher, running
from control.launcher import run as launch
from control.settings import RUNTIMES, ControlSettings
from router.config import CONTROL_TABLE, BadSettings, load
from router.settings import RouterSettings
from router.upgrades import facts_path

_UPGRADE_S = 60.0
_UPGRADE_POLL_S = 0.05

Listen = Annotated[str | None, typer.Option("--listen", help="Ingress, HOST:PORT.")]
Admin = Annotated[str | None, typer.Option("--admin", help="API, metrics and console, HOST:PORT.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Default: one per core.")]
Domain = Annotated[str | None, typer.Option("--domain", help="Of the apps' hosts.")]
Config = Annotated[
    Path | None, typer.Option("--config", envvar="TURNOUT_CONFIG", help="Settings file, TOML.")
]
TokenFile = Annotated[
    str | None, typer.Option("--token-file", help="Lines of NAME ROLE TOKEN; else STATE/token.")
]

Runtimes = Annotated[
    str | None,
    typer.Option("--runtimes", help="Of docker, endpoint, process; default docker,endpoint."),
]
AzurePort = Annotated[
    int | None,
    typer.Option("--azure-port", help="Serve az over TLS on this loopback port; 0 picks one."),
]

Docker = Annotated[
    bool | None, typer.Option("--docker", help="Follow the labelled containers of the engine, too.")
]


def router(
    routes: Annotated[str | None, typer.Option("--routes", help="Routes file, TOML.")] = None,
    control: Annotated[
        str | None, typer.Option("--control", help="Control plane: http://HOST:PORT or unix:PATH.")
    ] = None,
    docker: Docker = None,
    listen: Listen = None,
    admin: Admin = None,
    workers: Workers = None,
    domain: Domain = None,
    state: State = None,
    config: Config = None,
    token_file: TokenFile = None,
) -> None:
    """Run a router alone: on a routes file, following a control plane, or containers' labels."""
    from router.__main__ import run

    flags = {**locals()}
    raise typer.Exit(run(_settings(RouterSettings, flags, config)))


def control(
    admin: Admin = None,
    domain: Domain = None,
    state: State = None,
    config: Config = None,
    token_file: TokenFile = None,
    azure_port: AzurePort = None,
    runtimes: Runtimes = None,
) -> None:
    """Run the control plane alone."""
    from control.plane import main

    flags = {**locals()}
    raise typer.Exit(main(_settings(ControlSettings, flags, config, CONTROL_TABLE)))


def up(
    listen: Listen = None,
    admin: Admin = None,
    workers: Workers = None,
    domain: Domain = None,
    state: State = None,
    config: Config = None,
    token_file: TokenFile = None,
    azure_port: AzurePort = None,
    runtimes: Runtimes = None,
    docker: Docker = None,
) -> None:
    """Run a control plane and a router on this host."""
    flags = {**locals()}
    environment = _environment(flags, config)
    raise typer.Exit(_launch(environment, _state(state, config), _serve))


async def _serve(launcher: Launcher, stop: asyncio.Event) -> None:
    launcher.announce()
    await stop.wait()


def _launch(
    environment: dict[str, str],
    state: Path,
    then: Callable[[Launcher, asyncio.Event], Coroutine[None, None, None]],
) -> int:
    try:
        return asyncio.run(launch(environment, state, then))
    except BadSettings as error:
        fail(str(error), 2)
    except OSError as error:
        fail(str(error))


def upgrade(state: State = None, config: Config = None) -> None:
    """Go on as the newly installed code; listening sockets stay open, no request fails."""
    import control.plane  # noqa: F401 - code that does not even load must not be started

    folder = _state(state, config)
    facts = facts_path(folder / "router")
    asked = time.time()
    try:
        pid = running(folder) or int(json.loads(facts.read_text())["pid"])
        os.kill(pid, signal.SIGUSR2)
    except (OSError, ValueError, KeyError):
        fail(f"no turnout runs on {folder}; give its --state")
    while time.time() < asked + _UPGRADE_S:
        found = json.loads(facts.read_text())
        if found["began"] > asked:
            console.print(f"turnout {found['version']} serves now (process {found['pid']})")
            return
        if found["refused_at"] > asked:
            fail(f"the installed code does not start, the old one serves on: {found['refused']}")
        time.sleep(_UPGRADE_POLL_S)
    fail(f"no news within {_UPGRADE_S:.0f} s; look at the router's log")


def demo(
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No display and no traffic of its own.")
    ] = False,
    target: Annotated[
        bool, typer.Option("--target", help="For load generators: no traffic of its own.")
    ] = False,
    listen: Listen = None,
    admin: Admin = None,
    workers: Workers = None,
    state: State = None,
) -> None:
    """Run everything with a demo app: two revisions at 80/20 and a label."""
    from control.cli.demo import run

    given = state or os.environ.get("TURNOUT_STATE")
    with tempfile.TemporaryDirectory(prefix="turnout-demo-") as scratch:
        environment = _environment({"listen": listen, "admin": admin, "workers": workers}, None)
        environment["TURNOUT_LOG_LEVEL"] = "warning"  # the display is the log
        environment["TURNOUT_RUNTIMES"] = ",".join(RUNTIMES)  # its replicas are processes
        code = _launch(
            environment, Path(given or scratch), partial(run, is_quiet=quiet, is_target=target)
        )
    raise typer.Exit(code)


def check(
    file: Annotated[Path, typer.Argument(help="A routes file or a settings file.")],
) -> None:
    """Check a routes or settings file; exit 0 good, 1 bad, every problem with its line."""
    from router.routes_file import BadRoutes, parse

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}")
    if "[[app" not in text and _is_settings(text):
        try:
            load(RouterSettings, {}, file=file, environ={})
            load(ControlSettings, {}, file=file, environ={}, table=CONTROL_TABLE)
        except BadSettings as error:
            fail(str(error))
    else:
        try:
            parse(text)
        except BadRoutes as error:
            for line, message in error.problems:
                errors.print(f"{file}:{line}: {message}", soft_wrap=True)
            raise typer.Exit(1) from None
    console.print(f"{file} is good")


def _is_settings(text: str) -> bool:
    import tomllib

    try:
        keys = set(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False  # the routes parser says where
    return bool(keys - {"domain", "app"})


def _settings(cls: type[Any], flags: dict[str, Any], file: Path | None, table: str = "") -> Any:
    try:
        return load(cls, flags, file=file, table=table).check()
    except BadSettings as error:
        fail(str(error), 2)


def _environment(flags: dict[str, Any], config: Path | None) -> dict[str, str]:
    """Flags as the environment of the processes that are started; checked here, at once."""
    names = (
        "listen", "admin", "workers", "domain", "token_file", "azure_port", "docker", "runtimes"
    )  # fmt: skip
    given = {name: str(flags[name]) for name in names if flags.get(name) is not None}
    _settings(RouterSettings, {**given, "control": "unix:x", "routes": ""}, config)
    _settings(ControlSettings, given, config, CONTROL_TABLE)
    environment = {f"TURNOUT_{name.upper()}": value for name, value in given.items()}
    if config is not None:
        environment["TURNOUT_CONFIG"] = str(config)
    return environment


def _state(state: Path | None, config: Path | None) -> Path:
    found: Path = _settings(ControlSettings, {"state": state}, config, CONTROL_TABLE).state
    return found

"""The servers: up, router, control, demo; and check."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control.cli.client import console, errors, fail, is_ours, printable
from control.cli.options import State

if TYPE_CHECKING:
    import asyncio

    from control.settings import ControlSettings
    from control.up.launcher import Launcher

_UPGRADE_S = 60.0
_UPGRADE_POLL_S = 0.05

Listen = Annotated[str | None, typer.Option("--listen", help="Ingress, HOST:PORT.")]
Admin = Annotated[str | None, typer.Option("--admin", help="API and metrics, HOST:PORT.")]
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
    flags = {name: value for name, value in locals().items() if name != "config"}
    from router.contract.settings import RouterSettings
    from router.process import children

    given = {name: str(value) for name, value in flags.items() if value is not None}
    _settings(RouterSettings, given, config)
    # In the place of this process: a router does without all that commands have loaded.
    command = children.command("router")
    os.execve(command[0], command, {**os.environ, **_as_environment(given, config)})  # noqa: S606


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
    from control.settings import ControlSettings
    from control.wiring import main
    from router.process.config import CONTROL_TABLE

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
    settings = _control_settings({"state": state, "domain": domain}, config)
    _refuse_taken_port(listen, config, settings.state)
    serve = partial(_serve, domain=settings.domain)
    raise typer.Exit(_launch(environment, settings.state, serve))


async def _serve(launcher: Launcher, stop: asyncio.Event, *, domain: str) -> None:
    launcher.announce()
    port, token = launcher.ingress.rpartition(":")[2], launcher.state / "token"
    page = f"http://{launcher.admin}/"
    console.print(
        f"console    {page}    turnout console prints a link that signs in", soft_wrap=True
    )
    console.print(f"apps       http://APP.{domain}:{port}/", soft_wrap=True)
    console.print(f"API        http://{launcher.admin}/docs", soft_wrap=True)
    if token.exists():
        console.print(f"its token  {token}", soft_wrap=True)
    sys.stdout.flush()
    await stop.wait()


def _launch(
    environment: dict[str, str],
    state: Path,
    then: Callable[[Launcher, asyncio.Event], Coroutine[None, None, None]],
) -> int:
    import asyncio

    from control.up.launcher import run as launch
    from router.process.config import BadSettings

    try:
        return asyncio.run(launch(environment, state, then))
    except BadSettings as error:
        fail(str(error), 2)
    except OSError as error:
        fail(str(error))


def upgrade(state: State = None, config: Config = None) -> None:
    """Go on as the newly installed code; listening sockets stay open, no request fails."""
    import control.wiring  # noqa: F401 - code that does not even load must not be started
    from control.up.launcher import running
    from router.process.state import supervisor_file

    folder = _control_settings({"state": state}, config).state
    facts = supervisor_file(folder / "router")
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
    from control.cli.commands.demo import run
    from control.settings import RUNTIMES

    given = state or os.environ.get("TURNOUT_STATE")
    with tempfile.TemporaryDirectory(prefix="turnout-demo-") as scratch:
        environment = _environment({"listen": listen, "admin": admin, "workers": workers}, None)
        _refuse_taken_port(listen, None, Path(given or scratch))
        environment["TURNOUT_LOG_LEVEL"] = "warning"  # the display is the log
        environment["TURNOUT_ON_EXIT"] = "stop"
        environment["TURNOUT_RUNTIMES"] = ",".join(RUNTIMES)  # its replicas are processes
        code = _launch(
            environment, Path(given or scratch), partial(run, is_quiet=quiet, is_target=target)
        )
    if code and "MAKELEVEL" in os.environ:
        flags = 'make run ARGS="--listen 127.0.0.1:9090 --admin 127.0.0.1:9091"'
        errors.print(f"make passes flags on: {flags}", soft_wrap=True)
    raise typer.Exit(code)


def check(
    file: Annotated[Path, typer.Argument(help="A routes file or a settings file.")],
) -> None:
    """Check a routes or settings file; exit 0 good, 1 bad, every problem with its line."""
    from router.contract.routes_file import BadRoutes, parse

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}")
    if "[[app" not in text and _is_settings(text):
        _check_settings(file)
    else:
        try:
            parse(text)
        except BadRoutes as error:
            for line, message in error.problems:
                errors.print(f"{file}:{line}: {message}", soft_wrap=True)
            raise typer.Exit(1) from None
    console.print(f"{file} is good")


def _check_settings(file: Path) -> None:
    from control.settings import ControlSettings
    from router.contract.settings import RouterSettings
    from router.process.config import CONTROL_TABLE, BadSettings, Places, checked

    places = Places(file)
    wrong: set[tuple[int, str]] = set()  # what both read is wrong once
    readers: list[tuple[type[Any], dict[str, Any], str]] = [
        (RouterSettings, {"control": "unix:x", "routes": ""}, ""),
        (ControlSettings, {}, CONTROL_TABLE),
    ]
    for cls, flags, table in readers:
        try:
            checked(cls, flags, file=file, environ={}, table=table)
        except BadSettings as error:
            wrong |= {places.placed(line, table) for line in str(error).split("\n")}
    for _, line in sorted(wrong):
        errors.print(printable(line), soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


def _is_settings(text: str) -> bool:
    import tomllib

    try:
        keys = set(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False  # the routes parser says where
    return bool(keys - {"domain", "app"})


def _settings(cls: type[Any], flags: dict[str, Any], file: Path | None, table: str = "") -> Any:
    from router.process.config import BadSettings, checked

    try:
        return checked(cls, flags, file=file, table=table)
    except BadSettings as error:
        fail(str(error), 2)


def _environment(flags: dict[str, Any], config: Path | None) -> dict[str, str]:
    """Flags as the environment of the processes that are started; checked here, at once."""
    from control.settings import ControlSettings
    from router.contract.settings import RouterSettings
    from router.process.config import CONTROL_TABLE

    names = (
        "listen", "admin", "workers", "domain", "token_file", "azure_port", "docker", "runtimes"
    )  # fmt: skip
    given = {name: str(flags[name]) for name in names if flags.get(name) is not None}
    _settings(RouterSettings, {**given, "control": "unix:x", "routes": ""}, config)
    settings = _settings(ControlSettings, given, config, CONTROL_TABLE)
    environment = _as_environment(given, config)
    if settings.on_exit:  # the launcher's default is another than that of the file
        environment["TURNOUT_ON_EXIT"] = settings.on_exit
    return environment


def _as_environment(given: dict[str, str], config: Path | None) -> dict[str, str]:
    environment = {f"TURNOUT_{name.upper()}": value for name, value in given.items()}
    return environment if config is None else {**environment, "TURNOUT_CONFIG": str(config)}


def _refuse_taken_port(listen: str | None, config: Path | None, state: Path) -> None:
    """Leave when something else listens on the ingress port.

    Our own workers share a port, and the kernel would let two routers of one user share it, too:
    requests would go now to the one, now to the other. What may be our own predecessor, whose
    workers still serve, is let be.
    """
    from router.contract.settings import RouterSettings
    from router.process.listeners import check_free, handed_over

    given = _settings(RouterSettings, {"listen": listen, "control": "unix:x", "routes": ""}, config)
    if is_ours(state, given.listen) or handed_over():
        return
    try:
        check_free(given.listen)
    except OSError as error:
        fail(str(error))


def _control_settings(flags: dict[str, Any], config: Path | None) -> ControlSettings:
    from control.settings import ControlSettings
    from router.process.config import CONTROL_TABLE

    found: ControlSettings = _settings(ControlSettings, flags, config, CONTROL_TABLE)
    return found

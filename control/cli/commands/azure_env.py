"""`turnout azure-env`: what an unmodified az needs to talk to this control plane."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from control.cli.client import errors, fail, own_token, settings_here
from control.cli.options import State

_AZ_S = 120.0


def azure_env(
    state: State = None,
    register: Annotated[
        bool, typer.Option("--register/--no-register", help="Register the cloud and sign in.")
    ] = True,
) -> None:
    """Print the exports with which az talks here: eval "$(turnout azure-env)"."""
    folder = settings_here(state).state.resolve() / "azure"
    try:
        # Some of az's commands append a path to the endpoint without a slash of their own.
        endpoint = (folder / "endpoint").read_text().strip().rstrip("/") + "/"
    except OSError:
        fail(f"no Azure endpoint in {folder.parent}; start one: turnout up --azure-port 8443")
    variables = _variables(folder)
    if register:
        secret = own_token(endpoint, state)
        if not secret:
            fail(f"no token in {folder.parent}; give the server's --state, or TURNOUT_TOKEN")
        _register(secret, endpoint, variables)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _variables(folder: Path) -> dict[str, str]:
    from control.up.certificates import Authority

    return {
        "AZURE_CONFIG_DIR": str(folder / "config"),
        "REQUESTS_CA_BUNDLE": str(Authority(folder).ca),
        "WEBSOCKET_CLIENT_CA_BUNDLE": str(Authority(folder).ca),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
    }


def _register(secret: str, endpoint: str, variables: dict[str, str]) -> None:
    """Once for an endpoint: the cloud, and a sign-in that lasts a day."""
    from control.api.azure.signin import CLOUD
    from control.api.azure.subscriptions import TENANT

    config = Path(variables["AZURE_CONFIG_DIR"])
    config.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _password_file(config, secret)
    sign_in = ("login", "--service-principal", "-u", "turnout", "-p", f"@{password}")
    commands = (
        ("cloud", "register", "-n", CLOUD, "--endpoint-resource-manager", endpoint),
        ("cloud", "set", "-n", CLOUD),
        (*sign_in, "--tenant", TENANT),
    )
    from router.process.state import make_private

    az = shutil.which("az")
    if az is None:
        errors.print("az is not installed here; run these where it is:", style="yellow")
        for command in commands:
            errors.print("  az " + shlex.join(command), soft_wrap=True)
        return
    config = Path(variables["AZURE_CONFIG_DIR"])
    make_private(config)
    environment = os.environ | variables
    try:
        _no_version_check(config, az, environment)
        _az(az, ("cloud", "set", "-n", "AzureCloud"), environment)
        _az(az, ("cloud", "unregister", "-n", CLOUD), environment, may_fail=True)
        for command in commands:
            _az(az, command, environment)
    finally:
        password.unlink()  # az keeps its own, or has none


def _password_file(config: Path, secret: str) -> Path:
    """The token where az reads it: an argument would show in the process list."""
    path = config / "password"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret)
    return path


def _no_version_check(config: Path, az: str, environment: dict[str, str]) -> None:
    """Keeps az from asking a Microsoft host whether it is the newest.

    It does not ask while the file names the versions that are installed, which az itself knows.
    """
    from router.process.state import write_durably

    file = config / "versionCheck.json"
    now = str(datetime.now().astimezone().replace(tzinfo=None))  # as az compares it
    nothing = {"local": "0"}
    known = {"versions": {"azure-cli": nothing, "core": nothing}, "update_time": now}
    write_durably(file, json.dumps(known).encode())
    installed = json.loads(_az(az, ("version", "-o", "json"), environment))
    known["versions"] = {
        name.removeprefix("azure-cli-"): {"local": version}
        for name, version in installed.items()
        if isinstance(version, str)
    }
    write_durably(file, json.dumps(known).encode())


def _az(
    az: str, command: tuple[str, ...], environment: dict[str, str], *, may_fail: bool = False
) -> str:
    done = subprocess.run(
        [az, *command], env=environment, capture_output=True, text=True, timeout=_AZ_S, check=False
    )
    if done.returncode != 0 and not may_fail:
        fail(f"az {command[0]} {command[1]} failed: {done.stderr.strip()}")
    return done.stdout

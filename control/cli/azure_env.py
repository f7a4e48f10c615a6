"""`turnout azure-env`: what an unmodified az needs to talk to this control plane (arm-wire §2)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from control.api.azure.around import TENANT
from control.api.azure.signin import CLOUD
from control.certificates import Authority
from control.cli.client import errors, fail, own_token
from control.cli.options import State
from router.state import make_private, write_durably

_AZ_S = 120.0


def azure_env(
    state: State = None,
    register: Annotated[
        bool, typer.Option("--register/--no-register", help="Register the cloud and sign in.")
    ] = True,
) -> None:
    """Print the exports with which az talks here: eval "$(turnout azure-env)"."""
    folder = (state or Path(os.environ.get("TURNOUT_STATE", ".turnout"))).resolve() / "azure"
    try:
        endpoint = (folder / "endpoint").read_text().strip()
    except OSError:
        fail(f"no Azure endpoint in {folder.parent}; start one: turnout up --azure-port 8443")
    variables = _variables(folder)
    if register:
        _register(folder, endpoint, variables)
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _variables(folder: Path) -> dict[str, str]:
    return {
        "AZURE_CONFIG_DIR": str(folder / "config"),
        "REQUESTS_CA_BUNDLE": str(Authority(folder).ca),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
    }


def _register(folder: Path, endpoint: str, variables: dict[str, str]) -> None:
    """Once for an endpoint: the cloud, and a sign-in that lasts a day."""
    secret = own_token() or "anything"
    sign_in = ("login", "--service-principal", "-u", "turnout", "-p", secret, "--tenant", TENANT)
    commands = (
        ("cloud", "register", "-n", CLOUD, "--endpoint-resource-manager", endpoint),
        ("cloud", "set", "-n", CLOUD),
        sign_in,
    )
    az = shutil.which("az")
    if az is None:
        errors.print("az is not installed here; run these where it is:", style="yellow")
        for command in commands:
            errors.print("  az " + shlex.join(command), markup=False, soft_wrap=True)
        return
    config = Path(variables["AZURE_CONFIG_DIR"])
    make_private(config)
    _no_version_check(config)
    environment = os.environ | variables
    _az(az, ("cloud", "set", "-n", "AzureCloud"), environment)
    _az(az, ("cloud", "unregister", "-n", CLOUD), environment, may_fail=True)
    for command in commands:
        _az(az, command, environment)


def _no_version_check(config: Path) -> None:
    """Keeps az from asking a Microsoft host whether it is the newest."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    known = {"versions": {}, "update_time": now}
    write_durably(config / "versionCheck.json", json.dumps(known).encode())


def _az(
    az: str, command: tuple[str, ...], environment: dict[str, str], *, may_fail: bool = False
) -> None:
    done = subprocess.run(
        [az, *command], env=environment, capture_output=True, text=True, timeout=_AZ_S, check=False
    )
    if done.returncode != 0 and not may_fail:
        fail(f"az {command[0]} {command[1]} failed: {done.stderr.strip()}")

"""turnout backup and restore: the whole state, to a file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control.cli.client import console, fail
from control.cli.options import State

Config = Annotated[
    Path | None, typer.Option("--config", envvar="TURNOUT_CONFIG", help="Settings file, TOML.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; holds secrets, mode 0600.")],
    state: State = None,
    config: Config = None,
) -> None:
    """Copy the whole state to a file, while turnout runs or not."""
    from control.store.backup import backup as copy_to
    from router.process.config import BadSettings

    try:
        copy_to(_folder(state, config), file)
    except (BadSettings, OSError) as error:
        fail(str(error))
    console.print(f"the state is in {file}", markup=False, soft_wrap=True)


def restore(
    file: Annotated[Path, typer.Argument(help="What `turnout backup` made.")],
    state: State = None,
    config: Config = None,
) -> None:
    """Replace the state by a copy; the control plane must not run, the replaced state is kept."""
    from control.store.backup import restore as copy_from
    from router.process.config import BadSettings

    folder = _folder(state, config)
    try:
        replaced = copy_from(folder, file)
    except (BadSettings, OSError) as error:
        fail(str(error))
    kept = f"; the replaced one is {replaced}" if replaced is not None else ""
    console.print(f"{folder} has the state of {file}{kept}", markup=False, soft_wrap=True)


def _folder(state: Path | None, config: Path | None) -> Path:
    from control.settings import ControlSettings
    from router.process.config import CONTROL_TABLE, BadSettings, load

    try:
        return load(ControlSettings, {"state": state}, file=config, table=CONTROL_TABLE).state
    except BadSettings as error:
        fail(str(error), 2)

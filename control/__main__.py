"""`python -m control`: a control plane alone, set by TURNOUT_… variables and TURNOUT_CONFIG."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from control.settings import ControlSettings
from control.wiring import main as run
from router.process.config import CONTROL_TABLE, BadSettings, load


def main() -> int:
    """Entry point."""
    file = os.environ.get("TURNOUT_CONFIG")
    try:
        settings = load(ControlSettings, {}, file=Path(file) if file else None, table=CONTROL_TABLE)
    except BadSettings as error:
        print(f"turnout: {error}", file=sys.stderr)
        return 2
    return run(settings)


if __name__ == "__main__":
    raise SystemExit(main())

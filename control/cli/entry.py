"""Where the `turnout` command begins, before anything that takes long to import."""

from __future__ import annotations

_INTERRUPTED = 130  # a shell's exit code for a command ended by Ctrl-C


def main() -> None:
    """Run the command; Ctrl-C during its imports ends it as quietly as later."""
    try:
        from control.cli.main import app

        app()
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None

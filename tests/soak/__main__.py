"""`python -m tests.soak PART --seconds N [--seed N]`."""

from __future__ import annotations

import argparse
import asyncio
import random

from tests.soak import abuse, control


def main() -> int:
    """One part; 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    changes = parts.add_parser("control", help="everything that may go wrong, under traffic")
    hostile = parts.add_parser("abuse", help="every abuser at once, reloads, kills, upgrades")
    for part in (changes, hostile):
        part.add_argument("--seconds", type=float, required=True)
    changes.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    if options.part == "control":
        return control.main(options.seconds, options.seed)
    return asyncio.run(abuse.main(options.seconds))


if __name__ == "__main__":
    raise SystemExit(main())

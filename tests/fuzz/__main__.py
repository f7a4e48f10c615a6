"""`python -m tests.fuzz TARGET SECONDS`: coverage-guided, with atheris (`pip install atheris`).

It starts from the corpus and ends at a crash, which it prints with its input; inputs with new
coverage go to a directory of their own, to pick from.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found] # for who fuzzes; not a test dependency

with atheris.instrument_imports(include=["router"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz one target."""
    name, seconds = sys.argv[1], sys.argv[2]
    corpus = Path(__file__).parent / "corpus" / name
    found = tempfile.mkdtemp(prefix="turnout-fuzz-")
    limits = [f"-max_total_time={seconds}", "-max_len=2048"]
    arguments = [sys.argv[0], found, str(corpus), *limits]
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

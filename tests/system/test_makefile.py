"""The environment that make makes: whole, or not there; what is missing is said in a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has the Makefile only."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(checkout: Path, python: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", ".venv/.made", f"PYTHON={python}"],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_environment_that_was_interrupted_is_made_anew(checkout: Path) -> None:
    half = checkout / ".venv" / "bin"
    half.mkdir(parents=True)
    (half / "python").symlink_to(sys.executable)  # and no pip
    made = make(checkout)
    assert made.returncode == 0, made.stderr
    subprocess.run([half / "pip", "--version"], check=True, capture_output=True)
    assert "up to date" in make(checkout).stdout


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("import sys; sys.modules['ensurepip'] = None", "apt-get install python3-venv"),
        ("import sys; sys.version_info = (3, 9)", "needs Python 3.11 or newer"),
    ],
    ids=["no venv", "too old"],
)
def test_what_python_lacks_is_said_and_nothing_is_begun(
    checkout: Path, broken: str, sentence: str
) -> None:
    (checkout / "sitecustomize.py").write_text(broken)
    python = checkout / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={checkout} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    made = make(checkout, python)
    assert made.returncode != 0
    assert sentence in made.stderr
    assert "Traceback" not in made.stderr
    assert not (checkout / ".venv").exists()

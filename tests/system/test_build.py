"""What pip makes of a checkout: compiled where that can be done, interpreted elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD_FILES = ("pyproject.toml", "setup.py", "build_backend.py", "README.md", "LICENSE")
(MYPYC,) = re.findall(r'"(mypy\[mypyc\]==.*)"', (ROOT / "build_backend.py").read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    unmade = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("router", "control"):
        shutil.copytree(ROOT / name, folder / name, ignore=unmade)
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def wheel(checkout: Path, python: str = sys.executable, **given: str) -> tuple[str, str]:
    """The name of the wheel, and what was said while it was made."""
    command = [python, "-m", "pip", "wheel", "-v", "--no-deps", "-w", "made", "."]
    environment = {k: v for k, v in os.environ.items() if k != "TURNOUT_PURE"} | given
    done = subprocess.run(
        command, cwd=checkout, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (checkout / "made").iterdir()
    return made.name, done.stdout + done.stderr


def test_it_is_compiled_where_none_of_its_libraries_is(checkout: Path, tmp_path: Path) -> None:
    """As `pipx install .` does it: pip's environment for builds holds what builds need, only."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "bare"], check=True)
    name, _ = wheel(checkout, str(tmp_path / "bare" / "bin" / "python"), CFLAGS="-O0")
    assert "-cp3" in name


def test_without_a_compiler_it_is_installed_interpreted_and_says_so(checkout: Path) -> None:
    name, said = wheel(checkout, CC="/nowhere/cc")
    assert name.endswith("-py3-none-any.whl")
    assert "no C compiler" in said


def test_whoever_asks_gets_it_interpreted(checkout: Path) -> None:
    name, said = wheel(checkout, TURNOUT_PURE="1")
    assert name.endswith("-py3-none-any.whl")
    assert "mypy" not in said


def test_it_is_compiled_by_the_version_that_is_tested() -> None:
    assert MYPYC.replace("[mypyc]", "") in (ROOT / "requirements-test.txt").read_text().splitlines()
    assert f"'{MYPYC}'" in (ROOT / "Dockerfile").read_text()

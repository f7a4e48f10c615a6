"""The how-tos about apps, typed at a server that has the app which they start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.turnout import Turnout, run, until
from tests.system.test_how_to import HERE, block
from tests.system.test_readme import commands_in, walk


@pytest.fixture
def up(up: Turnout) -> Turnout:
    """A server whose app `shop` serves from `v1`."""
    assert not deploy(up, "--image", "process:demo", "--revision-suffix", "v1")
    return up


def deploy(up: Turnout, *flags: str) -> int:
    return run("deploy", "shop", *flags, server=up.server).returncode


def follow(up: Turnout, folder: Path, page: str, *kinds: str) -> None:
    """Type what a page says, block by block."""
    steps = [step for kind in kinds for step in commands_in(block(page, f"sh {kind}"))]
    walk(steps, up, folder, cwd=folder)


def broken(*script: str) -> list[str]:
    """Flags of a revision `v2` that runs a shell command in place of the app."""
    words = ["sh", "-c", *script]
    given = [flag for word in words for flag in ("--command", word)]
    return ["--image", "process:", *given, "--revision-suffix", "v2"]


def test_a_canary(up: Turnout, tmp_path: Path) -> None:
    follow(up, tmp_path, "canary.md", "pin", "try", "split", "all", "back", "done")
    assert "shop--v2" in up.get("shop.localhost")[2]


def test_why_a_revision_failed(up: Turnout, tmp_path: Path) -> None:
    assert deploy(up, *broken("echo no database; exit 1"))
    follow(up, tmp_path, "trouble.md", "look", "failed")


def test_a_deploy_that_does_not_end(up: Turnout, tmp_path: Path) -> None:
    assert not deploy(up, *broken("exec sleep 1000"), "--no-wait")
    asked = ("replica", "list", "shop", "--revision", "v2")
    until(lambda: "Not ready yet" in run(*asked, server=up.server).stdout)
    follow(up, tmp_path, "trouble.md", "stuck")
    assert "shop--v1" in up.get("shop.localhost")[2]


def test_back_from_a_revision_that_is_wrong(up: Turnout, tmp_path: Path) -> None:
    assert not deploy(up, "--env", "COLOR=blue", "--revision-suffix", "v2")
    assert "shop--v2" in up.get("shop.localhost")[2]
    follow(up, tmp_path, "trouble.md", "back")


def test_an_app_that_was_stopped(up: Turnout, tmp_path: Path) -> None:
    assert not run("app", "stop", "shop", server=up.server).returncode
    follow(up, tmp_path, "trouble.md", "stopped")
    until(lambda: up.get("shop.localhost")[0] == 200)


def test_the_errors_that_are_explained_exist() -> None:
    page = (HERE / "trouble.md").read_text()
    known = (HERE.parents[1] / "router" / "README.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert rows
    assert not [code for code in rows if f"`{code}`" not in known]


def test_coming_from_az(up: Turnout, tmp_path: Path) -> None:
    assert not run("app", "delete", "shop", "--yes", server=up.server).returncode
    follow(up, tmp_path, "from-az.md", "turnout")

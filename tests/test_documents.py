"""The documents hold together: every link leads somewhere, and so does every picture."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


FOLDERS = ("router", "control", "tests", "benchmarks", "config", "docs")


def files(ending: str) -> list[Path]:
    """Ours, and not what lies beside them, such as a virtual environment."""
    inner = [path for folder in FOLDERS for path in (ROOT / folder).rglob(f"*{ending}")]
    return sorted([*ROOT.glob(f"*{ending}"), *inner])


PAGES = files(".md")


@cache
def anchors(page: Path) -> set[str]:
    """What can be linked to, by GitHub's rule for headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.M):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_link_of_a_page_leads_nowhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)", FENCE.sub("", page.read_text())):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_the_index_leads_to_every_page_of_the_documentation() -> None:
    reached, todo = set(), [ROOT / "docs" / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
        todo += [(page.parent / link).resolve() for link in links]
    assert not set((ROOT / "docs").rglob("*.md")) - reached

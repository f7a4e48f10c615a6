"""The documents hold together: links lead somewhere, and what the code cites can be opened."""

from __future__ import annotations

import re
from collections.abc import Iterator
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


def dead_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)", FENCE.sub("", page.read_text())):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            yield f"{page}: {link}: there is no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{page}: {link}: there is no such heading"


def test_no_link_of_a_page_leads_nowhere() -> None:
    assert not [link for page in PAGES for link in dead_links(page)]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_or_folder_that_a_page_names_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # tells of yesterday's
        return
    near = (ROOT, page.parent, ROOT / "router", ROOT / "control")
    for named in re.findall(r"`((?:[\w.-]+/)+(?:[\w-]+\.py)?)`", FENCE.sub("", page.read_text())):
        assert any((folder / named).exists() for folder in near), named


def test_the_commands_of_contributing_name_what_is_there() -> None:
    commands = "".join(FENCE.findall((ROOT / "CONTRIBUTING.md").read_text()))
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", commands, re.M):
        assert f"\n{target}:" in targets, target
    for path in re.findall(r"\btests/\w+/?[\w.]*", commands):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("package", ["router", "control"])
def test_architecture_and_contributing_name_every_folder(package: str) -> None:
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    table = (ROOT / "docs/architecture.md").read_text().partition(f"| {package}/ |")[2]
    named = re.findall(r"`(\w+)/`", table.partition("\n\n")[0])
    assert sorted(named) == sorted(rooms)
    layout = (ROOT / "CONTRIBUTING.md").read_text().partition(f"\n{package}/ ")[2]
    assert all(re.search(rf"\b{room}\b", re.split(r"\n\S", layout)[0]) for room in rooms)


# --- what the code cites

OURS = {"contract": ROOT / "docs" / "contract.md", "azure-wire": ROOT / "docs" / "azure-wire.md"}
CITING = [ROOT / "Makefile", ROOT / "pyproject.toml", *files(".py"), *PAGES]
# `RFC 9112 §6.1, §6.3` cites two sections, `contract §6 rule 9` one row of a table.
SOURCE = re.compile(r"(RFC \d{3,4}|contract|azure-wire)(?=,? §)")
SECTION = re.compile(r"(?:,? and |, | to | |)§(\d+(?:\.\d+)*)(?: rule (\d+))?")
# Papers that only some of us have.
ELSEWHERE = re.compile(
    r"arm-wire|aca-contract|(?:house|product|style-anchors|peers)\.md|\.\./shared"
)


def unknown(text: str) -> list[str]:
    """What is cited and cannot be found; a section sign without a source is one of them."""
    flat = re.sub(r"[`*]", "", re.sub(r"\s*\n\s*(?:#:? ?)?", " ", text))
    found, covered = [], 0
    for source in SOURCE.finditer(flat):
        at = source.end()
        while cited := SECTION.match(flat, at):
            at, covered = cited.end(), covered + 1
            if source[1] in OURS and not has_section(source[1], cited[1], cited[2]):
                found.append(source[1] + cited[0])
    if covered != flat.count("§"):
        rest = re.sub(rf"{SOURCE.pattern}(?:{SECTION.pattern})+", "", flat)
        found += [rest[max(0, m.start() - 40) : m.end() + 5] for m in re.finditer("§", rest)]
    return found


def has_section(source: str, section: str, rule: str | None) -> bool:
    """Whether a document of ours has the section, and in its table the rule."""
    heading = rf"^#+ {re.escape(section)}\.? .*?(?=^#|\Z)"
    body = re.search(heading, OURS[source].read_text(), re.M | re.S)
    return body is not None and (rule is None or f"\n| {rule} |" in body[0])


def test_what_is_cited_can_be_opened() -> None:
    wrong: dict[Path, list[str]] = {}
    for path in CITING:
        text = path.read_text()
        if path in OURS.values():  # within a document, a bare section is its own
            own = f"{path.stem} §"
            text = re.sub(r"(?<!contract )(?<!azure-wire )(?<!RFC \d{4} )§", own, text)
        wrong[path] = [*unknown(text), *ELSEWHERE.findall(text)]
    del wrong[Path(__file__)]
    assert not {path: found for path, found in wrong.items() if found}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# contract §6 rule 9, RFC 9112 §6.1, §6.3", 0),
        ("# see contract\n    # §6", 0),
        ("# contract §77", 1),
        ("# contract §6 rule 77", 1),
        ("# azure-wire §2, §77", 1),
        ("# as §6 says", 1),
        ("# RFC 9110 §6; and then §7", 1),
    ],
)
def test_a_citation_of_nothing_is_found(text: str, wrong: int) -> None:
    assert len(unknown(text)) == wrong

"""The layout, read from the code itself: rooms, the arrows between them, sizes, purity."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IO = {
    "aiodocker", "aiohttp", "asyncio", "http", "selectors", "socket", "sqlite3", "ssl",
    "subprocess", "threading", "uvloop",
}  # fmt: skip

# What each room may import; imports that only a type checker follows count, too.
ARROWS = {
    "router": "",
    "router.process": "",
    "router.contract": "router.process",
    "router.loop": "router.contract",
    "router.http": "router.contract",
    "router.tracing": "router router.process router.http",
    "router.routing": "router.contract router.http",
    "router.upstream": "router.process router.contract router.loop router.http router.routing",
    "router.forwarding": "router.contract router.loop router.http router.tracing router.routing"
    " router.upstream",
    "router.ingress": "router.contract router.loop router.http router.routing router.forwarding",
    "router.worker": "router.process router.contract router.http router.tracing router.routing"
    " router.forwarding router.ingress",
    "router.sources": "router.process router.contract",
    "router.supervisor": "router router.process router.contract router.tracing router.routing"
    " router.worker router.sources",
    "router.__main__": "router.process router.contract router.loop router.tracing router.forwarding"
    " router.sources router.supervisor",
    # The control plane knows of the router what a router is told, and how to be a process.
    "control": "",
    "control.model": "router.process router.contract",
    "control.settings": "router.process router.contract control.model",
    "control.history": "control.model",
    "control.rules": "router.contract control.model control.history",
    "control.store": "router.process router.contract control.model control.history control.rules",
    "control.runtime": "router.process router.contract control.model control.settings",
    "control.changes": "router.contract control.model control.history control.rules control.store"
    " control.runtime",
    "control.publish": "router.contract control.model control.rules control.store",
    "control.probes": "router.process control.model",
    "control.ops": "control.model control.history control.settings control.store control.publish",
    "control.reconcile": "router.contract control.model control.settings control.history"
    " control.rules control.store control.runtime control.changes control.publish control.probes"
    " control.ops",
    "control.console": "router.process",
    "control.api": "router router.process router.contract control.model control.settings"
    " control.history control.rules control.store control.changes control.publish control.ops"
    " control.reconcile control.console",
    "control.demo": "",
    "control.up": "router.process",
    "control.wiring": "router.process control.model control.settings control.store control.runtime"
    " control.probes"
    " control.changes control.publish control.ops control.reconcile control.api control.up",
    "control.__main__": "router.process control.settings control.wiring",
    "control.cli": "router router.process router.contract control.model control.settings"
    " control.store control.publish control.api control.up control.wiring",
}

# The rim: rooms and modules that do I/O. Whatever is not named here decides, and is pure.
RIM = {
    "router.process", "router.sources", "router.supervisor", "router.worker",
    "router.ingress.http1", "router.loop", "router.upstream", "router.forwarding.context",
    "router.forwarding.log_file", "router.tracing.exporter", "router.forwarding.tunnel",
    "control.api", "control.changes.turn", "control.cli",
    "control.console.files", "control.console.vendor", "control.demo", "control.ops.upkeep",
    "control.probes", "control.publish.publisher", "control.reconcile.actions",
    "control.reconcile.reconciler", "control.runtime", "control.store", "control.up",
    "control.wiring",
}  # fmt: skip

# Each file is one command of the line, or one resource of the API.
ONE_FILE_EACH = {"control/api", "control/api/azure", "control/cli/commands"}

# What a worker may not load: it would pay for it in memory and start-up, and never use it.
NOT_IN_WORKERS = {"aiohttp", "pydantic", "prometheus_client", "typer", "rich"}


def files() -> list[Path]:
    return sorted(path for top in ("router", "control") for path in (ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in files()}


Import = ast.Import | ast.ImportFrom


@cache
def import_lines(name: str) -> tuple[list[Import], set[ast.AST]]:
    """All of a module, and what is inside `if TYPE_CHECKING`."""
    nodes = list(ast.walk(ast.parse(MODULES[name].read_text())))
    typing_only: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only.update(ast.walk(node))
    return [node for node in nodes if isinstance(node, Import)], typing_only


@cache
def imports(name: str, *, runtime_only: bool = False) -> frozenset[str]:
    """What a module imports: its modules where they are ours, else as written."""
    lines, typing_only = import_lines(name)
    found: set[str] = set()
    for node in lines:
        if runtime_only and node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(f if f in MODULES else node.module for f in full)
    return frozenset(found)


def room_of(name: str) -> str:
    first_two = ".".join(name.split(".")[:2])
    return first_two if first_two in ARROWS else name.partition(".")[0]


def test_every_arrow_between_rooms_is_one_that_is_drawn() -> None:
    drawn = {room: {room, *below.split()} for room, below in ARROWS.items()}
    assert not [
        f"{name} may not import {found}"
        for name in MODULES
        for found in imports(name)
        if found in MODULES and room_of(found) not in drawn[room_of(name)]
    ]


def test_arrows_only_lead_down() -> None:
    seen: list[str] = []
    for room, below in ARROWS.items():  # in the order of the floors
        assert set(below.split()) <= {*seen}, f"{room} stands below what it imports"
        seen.append(room)


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not list(circles())


def circles() -> Iterator[list[str]]:
    """Modules that reach themselves by their imports, typing imports included."""
    below = {name: {found for found in imports(name) if found in MODULES} for name in MODULES}
    reach = {name: set(found) for name, found in below.items()}
    is_growing = True
    while is_growing:
        is_growing = False
        for found in reach.values():
            more = set().union(*(reach[one] for one in found)) - found
            found |= more
            is_growing = is_growing or bool(more)
    for name, found in reach.items():
        if name in found:
            yield sorted(one for one in found if name in reach[one])


def test_what_is_not_on_the_rim_does_no_io() -> None:
    does_io = {
        name
        for name in MODULES
        if {found.partition(".")[0] for found in imports(name, runtime_only=True)} & IO
    }
    on_the_rim = {n for n in MODULES if any(f"{n}.".startswith(f"{r}.") for r in RIM)}
    assert not does_io - on_the_rim
    idle = {r for r in RIM if not any(f"{n}.".startswith(f"{r}.") for n in does_io)}
    assert not idle, "named as the rim, and pure"


def test_a_worker_loads_only_what_it_needs() -> None:
    loaded: set[str] = set()
    todo = {"router.worker.worker"}
    while todo:
        name = todo.pop()
        loaded.add(name)
        if name in MODULES:
            todo |= imports(name, runtime_only=True) - loaded
    assert "router.forwarding.exchange" in loaded
    assert not {name.partition(".")[0] for name in loaded} & NOT_IN_WORKERS


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    assert not [path for path in files() if len(path.read_text().splitlines()) > 400]


def test_no_folder_holds_more_than_a_newcomer_can_look_over() -> None:
    folders = {path.parent for path in files()}
    for folder in folders:
        most = 20 if str(folder.relative_to(ROOT)) in ONE_FILE_EACH else 12
        held = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(held) <= most, f"{folder} holds {held}"


@pytest.mark.parametrize("readme", ["router/README.md", "control/README.md"])
def test_every_file_that_a_readme_names_is_there(readme: str) -> None:
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / readme).read_text())
    assert named
    folder = (ROOT / readme).parent
    assert not [name for name in named if not ((folder / name).exists() or (ROOT / name).exists())]

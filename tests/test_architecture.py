"""The import rules, read from the code itself."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IO = {"asyncio", "socket", "ssl", "subprocess", "aiohttp", "uvloop", "sqlite3", "selectors"}
PURE = [
    "control/commands/configure.py", "control/commands/deploy.py", "control/commands/life.py",
    "control/commands/split.py", "control/commands/steps.py", "control/compiler.py",
    "control/dry_run.py", "control/explain.py", "control/label_history.py", "control/labels.py",
    "control/lifecycle.py", "control/planner.py", "control/resources.py", "control/rollback.py",
    "control/base.py", "control/ports.py", "control/runtime/docker/spec.py",
    "control/schema.py", "control/template.py",
    "control/targets.py", "control/traffic.py", "control/vault.py", "router/attempts.py",
    "router/budget.py", "router/chunked.py", "router/door.py", "router/discovery/labels.py",
    "router/discovery/rules.py", "router/errors.py", "router/exchange.py", "router/fields.py",
    "router/hosts.py", "router/ingress/repeated.py", "router/memo.py", "router/merge.py",
    "router/overload.py", "router/peers.py", "router/request_head.py", "router/response_head.py",
    "router/routes_file.py", "router/selection.py", "router/sentences.py", "router/snapshot.py",
    "router/stats.py", "router/table.py", "router/trail.py", "router/validate.py",
    "router/websocket.py",
]  # fmt: skip
# What a worker may not load: it would pay for it in memory and start-up, and never use it.
NOT_IN_WORKERS = {"aiohttp", "pydantic", "prometheus_client", "typer", "rich"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def imports(path: Path, *, runtime_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    typing_only: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only.update(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if runtime_only and node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def roots(path: Path, *, runtime_only: bool = False) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, runtime_only=runtime_only)}


@pytest.mark.parametrize("path", modules("router"), ids=lambda p: p.name)
def test_the_router_never_imports_the_control_plane(path: Path) -> None:
    assert "control" not in roots(path)


@pytest.mark.parametrize("name", PURE)
def test_decisions_import_no_io(name: str) -> None:
    assert not roots(ROOT / name, runtime_only=True) & IO


def test_a_worker_loads_only_what_it_needs() -> None:
    loaded, todo = set(), {"router.worker"}
    while todo:
        name = todo.pop()
        loaded.add(name)
        path = ROOT / (name.replace(".", "/") + ".py")
        if not path.exists():
            path = ROOT / name.replace(".", "/") / "__init__.py"
        if path.exists():
            todo |= imports(path, runtime_only=True) - loaded
    assert "router.exchange" in loaded
    assert not {name.partition(".")[0] for name in loaded} & NOT_IN_WORKERS


@pytest.mark.parametrize("path", [*modules("router"), *modules("control")], ids=str)
def test_no_file_is_longer_than_a_reader_can_hold(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400

"""turnout backup and restore: whole, private, and never between two states."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from control.model.resources import AppView
from control.store import Store
from control.store.backup import DATABASE, backup, restore
from router.process.config import BadSettings
from tests.control.support import World


def add(store: Store, name: str) -> AppView:
    world = World(name)
    world.deploy(suffix="v1")
    world.settle()
    store.write(name, store.view(name), world.view)
    return store.view(name)


def names(state: Path) -> list[str]:
    store = Store(state / DATABASE)
    try:
        return store.names()
    finally:
        store.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def copy(state: Path, tmp_path: Path) -> Path:
    """A backup with one app, of a state that has two by now."""
    store = Store(state / DATABASE)
    add(store, "shop")
    backup(state, tmp_path / "copy")
    add(store, "blog")
    store.close()
    return tmp_path / "copy"


def test_a_backup_of_a_running_store_has_all_that_was_acknowledged(
    state: Path, tmp_path: Path
) -> None:
    store = Store(state / DATABASE)
    for number in range(4):
        add(store, f"app{number}")
        backup(state, tmp_path / "copy")
        restore(tmp_path / "other", tmp_path / "copy")
        assert names(tmp_path / "other") == store.names()
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "other" / DATABASE).stat().st_mode) == 0o600
    add(store, "last")  # it goes on being written
    store.close()


def test_a_restore_brings_the_copy_back_and_keeps_what_it_replaced(
    state: Path, copy: Path, tmp_path: Path
) -> None:
    replaced = restore(state, copy)

    assert names(state) == ["shop"]
    assert replaced is not None
    restore(tmp_path / "other", replaced)
    assert names(tmp_path / "other") == ["blog", "shop"]


def as_killed(state: Path) -> dict[Path, bytes]:
    """What a control plane that is killed after one more app leaves; here it is closed."""
    store = Store(state / DATABASE)
    add(store, "late")
    files = {p: p.read_bytes() for p in state.iterdir() if p.name.startswith(DATABASE)}
    store.close()
    return files


def test_a_log_beside_the_replaced_state_is_not_read_into_the_new_one(
    state: Path, copy: Path
) -> None:
    for path, content in as_killed(state).items():
        path.write_bytes(content)
    assert (state / f"{DATABASE}-wal").stat().st_size > 0

    replaced = restore(state, copy)
    assert names(state) == ["shop"]
    assert replaced is not None
    restore(state, replaced)
    assert names(state) == ["blog", "late", "shop"]


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_a_restore_reads_nothing_that_a_deleted_state_left_beside(
    state: Path, copy: Path, end: str
) -> None:
    left = state / f"{DATABASE}{end}"
    for path, content in as_killed(state).items():
        path.write_bytes(content)
    if not left.exists():
        left.write_bytes(b"of the state that was")
    content = left.read_bytes()
    (state / DATABASE).unlink()  # "it is damaged, away with it"

    restore(state, copy)
    assert not left.exists() or left.read_bytes() != content
    assert [p.read_bytes() for p in state.glob(f"*replaced*{end}")] == [content]
    assert names(state) == ["shop"]


def test_a_backup_over_a_file_drops_the_log_of_what_was_there(
    state: Path, copy: Path, tmp_path: Path
) -> None:
    for path, content in as_killed(state).items():  # a copy of the files with their log
        (tmp_path / path.name).write_bytes(content)
    restore(state, copy)
    backup(state, tmp_path / DATABASE)

    restore(tmp_path / "other", tmp_path / DATABASE)
    assert names(tmp_path / "other") == ["shop"]


def test_a_restore_into_a_new_directory_makes_it_private(copy: Path, tmp_path: Path) -> None:
    restore(tmp_path / "new" / "state", copy)
    made = [tmp_path / "new", tmp_path / "new" / "state"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o700}
    files = list((tmp_path / "new" / "state").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_it_is_refused_while_a_control_plane_runs(state: Path, copy: Path) -> None:
    store = Store(state / DATABASE)
    with pytest.raises(BadSettings, match="stop it before"):
        restore(state, copy)
    assert store.names() == ["blog", "shop"]
    store.close()


@pytest.mark.parametrize("what", ["text", "torn", "foreign", "newer", "missing"])
def test_what_is_no_whole_state_is_refused_and_changes_nothing(
    state: Path, copy: Path, what: str
) -> None:
    if what == "text":
        copy.write_text("no database" * 1000)
    elif what == "torn":
        content = copy.read_bytes()
        copy.write_bytes(content[: len(content) // 2])
    elif what == "missing":
        copy.unlink()
    else:
        with sqlite3.connect(copy) as db:
            db.execute("DROP TABLE apps" if what == "foreign" else "PRAGMA user_version = 99")
        db.close()

    with pytest.raises(BadSettings):
        restore(state, copy)
    assert names(state) == ["blog", "shop"]
    assert not [p for p in state.iterdir() if "restoring" in p.name or "replaced" in p.name]


def test_a_damaged_state_can_be_replaced_and_is_kept(state: Path, copy: Path) -> None:
    (state / DATABASE).write_bytes(b"\0" * 5000)
    replaced = restore(state, copy)

    assert names(state) == ["shop"]
    assert replaced is not None
    assert replaced.read_bytes() == b"\0" * 5000


_KILLED = """
    import os, shutil, signal, sys
    from pathlib import Path
    from control.store import backup
    origin, copy, work = map(Path, sys.argv[1:])

    def killed_at(line):
        "Restore in a process that is killed before it runs that many lines; whether it was."
        child = os.fork()
        if not child:
            seen = 0
            def trace(frame, event, arg):
                nonlocal seen
                if frame.f_code.co_filename != backup.__file__:
                    return None
                seen += event == "line"
                if seen == line:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace
            sys.settrace(trace)
            backup.restore(work / str(line), copy)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    line = 1
    while True:
        shutil.copytree(origin, work / str(line))
        if not killed_at(line):
            break
        line += 1
"""


@pytest.mark.system
def test_a_kill_at_any_line_of_a_restore_leaves_the_old_state_or_the_new(
    state: Path, copy: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    code = textwrap.dedent(_KILLED)
    subprocess.run([sys.executable, "-c", code, str(state), str(copy), str(work)], check=True)

    found = [names(work / str(line)) for line in range(1, len(os.listdir(work)) + 1)]
    assert len(found) > 30
    old, new = ["blog", "shop"], ["shop"]
    at = found.index(new)
    assert found == [old] * at + [new] * (len(found) - at)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can restore what is another user's")
def test_what_root_restores_belongs_to_the_owner_of_the_state(state: Path, copy: Path) -> None:
    (state / f"{DATABASE}.lock").unlink(missing_ok=True)
    os.chown(state, 1234, 1235)
    restore(state, copy)
    for file in (state / DATABASE, state / f"{DATABASE}.lock"):
        assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)

"""Backup of the SQLite file: taken while a receiver writes, whole, and put back."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import func, select

from deploywatch.receiver.incidents import store
from deploywatch.receiver.store import Store, StoreError
from deploywatch.receiver.store.backup import backup, restore
from deploywatch.receiver.store.schema import deliveries, incidents
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import Scene, alert, settings
from tests.support import forked

pytestmark = pytest.mark.sqlite_only


def _file(scene: Scene) -> Path:
    assert scene.context.store.file is not None
    return scene.context.store.file


def _left_over(folder: Path) -> list[Path]:
    return list(folder.glob("*.part*"))


async def _services(file: Path) -> set[str]:
    """The services with incidents in the store of a file."""
    opened = Store(f"sqlite:///{file}")
    await opened.open()
    try:
        return {one.service for one in await opened.read(lambda c: store.recent(c, only_open=False, limit=9999))}
    finally:
        await opened.close()


async def test_a_copy_taken_while_others_write_is_whole_and_a_moment_of_the_store(scene: Scene, tmp_path: Path) -> None:
    over = asyncio.Event()

    async def write() -> int:
        number = 0
        while not over.is_set():
            await scene.take(alert(service=f"s{number}"))
            number += 1
        return number

    writing, found = asyncio.create_task(write()), 0
    for number in range(5):
        before = len(await scene.incidents())
        await asyncio.to_thread(backup, _file(scene), tmp_path / f"copy-{number}")
        opened = Store(f"sqlite:///{tmp_path}/copy-{number}")
        await opened.open()
        found, received = await opened.read(
            lambda c: [c.execute(select(func.count()).select_from(t)).scalar_one() for t in (incidents, deliveries)]
        )
        await opened.close()
        assert found >= before
        assert found == received  # each delivery with all that followed from it
    over.set()
    assert await writing >= found
    assert _left_over(tmp_path) == []


async def test_a_copy_is_the_owners_alone_and_never_takes_another_files_place(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    size = backup(_file(scene), copy)
    assert (copy.stat().st_size, copy.stat().st_mode & 0o777) == (size, 0o600)
    with pytest.raises(StoreError, match=r"copy is there already; name a new file"):
        backup(_file(scene), copy)


async def test_what_was_backed_up_is_restored_and_what_was_there_is_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(settings())
    file, copy = _file(scene), tmp_path / "copy"
    await scene.take(alert(service="before"))
    backup(file, copy)
    await scene.take(alert(service="after"))
    with pytest.raises(StoreError, match="is in use by another receiver"):
        restore(copy, file)
    await scene.context.store.close()
    kept = restore(copy, file)
    assert kept == file.with_name("store.db.before-restore")
    assert await _services(file) == {"before"}
    assert await _services(kept) == {"before", "after"}
    with pytest.raises(StoreError, match="before-restore is there already"):
        restore(copy, file)


async def test_a_restore_leaves_nothing_of_the_old_log(tmp_path: Path, make_scene: MakeScene) -> None:
    scene = make_scene(settings())
    file, copy = _file(scene), tmp_path / "copy"
    backup(file, copy)
    await scene.context.store.close()
    log = file.with_name("store.db-wal")
    log.write_bytes(b"what a receiver that was killed has left")
    restore(copy, file)
    assert not log.exists()
    assert await _services(file) == set()


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000, None], ids=["empty", "no database", "none"])
async def test_what_is_no_store_is_not_restored(scene: Scene, tmp_path: Path, content: bytes | None) -> None:
    file = _file(scene)
    await scene.take(alert())
    await scene.context.store.close()
    if content is not None:
        (tmp_path / "copy").write_bytes(content)
    with pytest.raises(StoreError, match=r"cannot be restored|is no store"):
        restore(tmp_path / "copy", file)
    assert await _services(file) == {"shop"}


async def test_a_damaged_store_is_not_taken_for_a_backup(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "damaged.db"
    for number in range(50):
        await scene.take(alert(service=f"s{number}"))
    backup(_file(scene), file)
    content = bytearray(file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    file.write_bytes(content)
    with pytest.raises(StoreError):
        backup(file, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run("store", *arguments, "--config.file=receiver.yml", cwd=folder)


async def test_by_command(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "receiver.yml").write_text(f"database: sqlite:///{_file(scene)}\n")
    await scene.take(alert())
    taken = _run(tmp_path, "backup", "copy.db")
    assert taken.returncode == 0
    assert taken.stdout.startswith("copy.db: 0.")
    refused = _run(tmp_path, "restore", "copy.db")
    assert refused.returncode == 1
    assert "is in use by another receiver" in refused.stderr
    await scene.context.store.close()
    done = _run(tmp_path, "restore", "copy.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("what it was before is in " + f"{_file(scene)}.before-restore\n")


def test_postgresql_has_tools_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "receiver.yml").write_text("database: postgresql://u:p@127.0.0.1:1/x\n")
    refused = _run(tmp_path, "backup", "copy.db")
    assert refused.returncode == 1
    assert "use its own tools, such as pg_dump" in refused.stderr

"""The file of the job table: made, upgraded, damaged, deleted (rows 31 and 48)."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from jobs import schema, store_file
from jobs.errors import StoreDamagedError, StoreError, StoreVersionError
from jobs.job import JobState
from jobs.store import open_store
from tests.jobs.rows import claimed, published, queued, settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs.sqlite"


def filled(path: Path) -> Path:
    """A table with jobs in all kinds of states."""
    with open_store(path) as store:
        for name in ("done", "running", "queued"):
            queued(store, name)
            if name == "done":
                store.finish(published(store, claimed(store)))
            elif name == "running":
                claimed(store, "a-worker")
        settled(store, "settling")
    return path


def test_a_new_table_is_durable_and_of_this_version(path: Path) -> None:
    with open_store(path) as store:
        pragmas = {
            name: store._rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert pragmas == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1}
        assert store._rows("PRAGMA user_version")[0][0] == len(schema.MIGRATIONS)


def test_what_was_written_is_there_at_the_next_opening(path: Path) -> None:
    filled(path)
    with open_store(path, check=True) as store:
        assert [job.state.value for job in store.list()] == ["done", "running", "queued", "settling"]
    assert [file.name for file in path.parent.iterdir()] == ["jobs.sqlite"]


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_file, "is_network_fs", lambda folder: "nfs")
    with pytest.raises(StoreError, match=f"'{path.parent}' is on a nfs file system.*--state"):
        open_store(path)
    assert not path.parent.exists()


def test_an_empty_file_is_a_table_that_was_being_made(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with open_store(path, check=True) as store:
        assert queued(store, "a.mp4").id == 1


def test_a_place_where_no_table_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"the folder '{tmp_path}/file' for the job table cannot be made"):
        open_store(tmp_path / "file" / "jobs.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=f"'{tmp_path}/folder' cannot be used: unable to open"):
        open_store(tmp_path / "folder")


def test_reading_only_makes_and_changes_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match=f"no job table '{path}'"):
        open_store(path, read_only=True)
    assert not path.parent.exists()
    filled(path)
    with open_store(path, read_only=True) as store:
        assert store.counts()[JobState.DONE] == 1
        with pytest.raises(StoreError, match="readonly"):
            store.pause(True)


# Row 48: upgrades


def test_an_older_table_is_copied_and_upgraded_with_its_jobs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(filled(path)) as store:
        before = store.export()
    version = len(schema.MIGRATIONS)
    newer = (
        "ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
        "UPDATE jobs SET colour = 'blue' WHERE state = 'queued'",
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, newer))

    with open_store(path, check=True) as store:
        assert store.export() == before
        assert [row[0] for row in store._rows("SELECT colour FROM jobs ORDER BY id")] == ["red", "red", "blue", "red"]
        assert store._rows("PRAGMA user_version")[0][0] == version + 1
        [running] = store.list({JobState.RUNNING})  # claimed before, goes on under its recorded choices
        assert store.finish(published(store, running)).treatment == running.treatment

    with closing(sqlite3.connect(path.with_name(f"jobs.sqlite.version-{version}-1"))) as copy:
        assert copy.execute("SELECT count(*) FROM jobs").fetchone() == (4,)
        assert copy.execute("PRAGMA user_version").fetchone() == (version,)
    with open_store(path):  # and no second copy
        assert len(list(path.parent.glob("*.version-*"))) == 1


def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    broken = ("ALTER TABLE jobs ADD COLUMN colour TEXT", "UPDATE nowhere SET colour = 1")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(StoreError, match="no such table: nowhere"):
            open_store(path)
    with open_store(path, check=True) as store:
        assert len(store.list()) == 4
        assert "colour" not in {row["name"] for row in store._rows("PRAGMA table_info(jobs)")}


def test_a_reader_does_not_upgrade(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ()))
    with pytest.raises(StoreVersionError, match="`watch` upgrades it"):
        open_store(path, read_only=True)


def test_a_newer_table_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(filled(path))) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    before = path.read_bytes()
    for options in ({}, {"check": True, "rebuild": True}, {"read_only": True}):
        with pytest.raises(StoreVersionError, match=f"'{path}' is of version 2, this program knows 1"):
            open_store(path, **options)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (name)")
    with pytest.raises(StoreVersionError, match="another program's"):
        open_store(path, check=True, rebuild=True)
    assert [file.name for file in path.parent.iterdir()] == ["jobs.sqlite"]


# Row 31: damage


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def _replace(path: Path) -> None:
    path.write_text("no database")


DAMAGES = [_zero, _cut, _scribble, _replace]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_moved_aside_and_refused_once(path: Path, damage: object) -> None:
    damage(filled(path))  # type: ignore[operator]
    damaged = path.read_bytes()
    with pytest.raises(StoreDamagedError, match=r"moved to '.*jobs\.sqlite\.corrupt-1'"):
        open_store(path, check=True)
    assert path.with_name("jobs.sqlite.corrupt-1").read_bytes() == damaged
    with open_store(path, check=True) as store:
        assert store.list() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_built_anew_when_asked(path: Path, damage: object, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        damage(filled(path))  # type: ignore[operator]
        with open_store(path, check=True, rebuild=True) as store:
            assert store.list() == []
        path.unlink()
        assert path.with_name(f"jobs.sqlite.corrupt-{number}").exists()
    assert "corrupt-2" in caplog.text


def test_a_reader_leaves_a_damaged_table_where_it_is(path: Path) -> None:
    _zero(filled(path))
    for options in ({"read_only": True, "check": True}, {}):
        with pytest.raises(StoreDamagedError, match="no sound SQLite database"):
            open_store(path, **options)
    assert [file.name for file in path.parent.iterdir()] == ["jobs.sqlite"]


def test_the_journal_of_a_damaged_table_goes_with_it(path: Path) -> None:
    _zero(filled(path))
    journal = path.with_name("jobs.sqlite-journal")
    journal.write_bytes(b"\0" * 512)
    with open_store(path, check=True, rebuild=True):
        assert path.with_name("jobs.sqlite.corrupt-1-journal").exists()
        assert not journal.exists()


def test_a_table_that_was_deleted_in_use_is_noticed(path: Path) -> None:
    with open_store(filled(path)) as store:
        path.unlink()
        for call in (store.list, lambda: store.pause(True)):
            with pytest.raises(StoreError, match="deleted or replaced while it was in use"):
                call()
    with open_store(path) as store, open_store(path) as other:  # the next one begins empty
        assert store.list() == other.list() == []


def test_what_a_killed_writer_left_half_done_is_taken_back(path: Path) -> None:
    """A process dies with its changes in the file and its journal beside it."""
    filled(path)
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('PRAGMA cache_spill = 1')\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute('UPDATE jobs SET report = randomblob(300000)')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([os.sys.executable, "-c", code, path])  # type: ignore[attr-defined]
    assert path.with_name("jobs.sqlite-journal").exists()
    with open_store(path, read_only=True) as store:  # even a reader takes it back
        assert [job.report for job in store.list()] == ['{"frames": 1}', None, None, None]


def test_a_store_is_of_no_use_in_a_forked_process(path: Path) -> None:
    with open_store(path) as store:
        store._pid += 1
        with pytest.raises(StoreError, match="open it here"):
            store.pause(True)

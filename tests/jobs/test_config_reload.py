"""A watch.toml that changes while the daemon runs."""

import logging
import os
from pathlib import Path

import pytest

from jobs.config_files import ConfigFile, load_config

FOLDER = '[[folder]]\npath = "{}"\noutput = "out"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watch.toml"
    path.write_text(FOLDER.format("in") + "crf = 20\n")
    return path


def changes(watched: ConfigFile) -> bool:
    """Whether a change is seen after two looks."""
    return any([watched.changed(), watched.changed()])


def test_a_file_that_nobody_touched_has_not_changed(file: Path) -> None:
    assert not changes(ConfigFile(load_config(file)))


def test_a_change_is_read_once_it_has_stood_for_two_looks(file: Path) -> None:
    watched = ConfigFile(load_config(file))
    file.write_text(FOLDER.format("in"))
    assert not watched.changed()
    file.write_text(FOLDER.format("in") + FOLDER.format("in2"))
    assert not watched.changed()
    assert watched.changed()
    config = watched.reload()
    assert config is not None
    assert [folder.path.name for folder in config.folders] == ["in", "in2"]
    assert not changes(watched)


def test_folders_can_go_and_the_command_line_still_goes_first(file: Path) -> None:
    file.write_text(FOLDER.format("in") + FOLDER.format("in2"))
    watched = ConfigFile(load_config(file, {"crf": 33}))
    file.write_text(FOLDER.format("in2") + "crf = 10\n")
    assert changes(watched)
    config = watched.reload()
    assert config is not None
    assert [(f.path.name, f.treatment.convert["crf"]) for f in config.folders] == [("in2", 33)]


@pytest.mark.parametrize("content", ["crf = 99\n", "crf = \n", "", None])
def test_a_wrong_file_is_told_once_and_the_old_one_stays(
    file: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    watched = ConfigFile(load_config(file))
    if content is None:
        file.unlink()
    else:
        file.write_text(content and FOLDER.format("in") + content)
    assert changes(watched)
    with caplog.at_level(logging.WARNING):
        assert watched.reload() is None
    assert not changes(watched)
    assert len(caplog.messages) == 1
    assert "watch.toml" in caplog.text
    assert "stays" in caplog.text
    file.write_text(FOLDER.format("in") + "crf = 21\n")
    assert changes(watched)
    config = watched.reload()
    assert config is not None
    assert config.folders[0].treatment.convert["crf"] == 21


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_seen(file: Path) -> None:
    watched = ConfigFile(load_config(file))
    status = file.stat()
    twin = file.with_name("twin")
    twin.write_text(file.read_text().replace("20", "30"))
    os.utime(twin, ns=(status.st_atime_ns, status.st_mtime_ns))
    twin.replace(file)
    assert changes(watched)


def test_what_a_running_daemon_cannot_change_stays_until_a_restart(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = ConfigFile(load_config(file))
    file.write_text('state_dir = "elsewhere"\nworkers = 3\nblocked_secs = 1\n' + FOLDER.format("in"))
    config = watched.reload()
    assert config is not None
    assert (config.state_dir, config.workers) == (file.parent / "out" / ".ugatit", None)
    assert config.blocked_secs == 1
    workers, table = caplog.messages
    assert workers == "watch.toml: the new `workers` counts after a restart."
    assert f'write state_dir = "{file.parent / "out" / ".ugatit"}" at the top to keep it' in table

"""watch.toml: what it sets, and how it tells what is wrong in it."""

from dataclasses import fields
from pathlib import Path

import pytest

from jobs.config import FolderConfig, WatchConfig
from jobs.config_files import config_from_options, load_config
from jobs.errors import WatchConfigError
from jobs.job import Treatment
from jobs.options import OPTIONS
from jobs.watch_options import default_of


def load(folder: Path, text: str) -> WatchConfig:
    file = folder / "watch.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(WatchConfigError) as caught:
        load(folder, text)
    return str(caught.value)


def test_keys_at_the_top_count_for_every_folder_that_says_nothing_else(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        crf = 20
        settle_secs = 2
        after = "move"
        [[folder]]
        path = "a"
        output = "out"
        [[folder]]
        path = "b"
        output = "out"
        crf = 30
        settle_secs = 3.5
        after = "delete"
        priority = 7
        """,
    )
    first, second = config.folders
    assert (first.treatment.convert["crf"], first.settle_secs, first.treatment.after) == (20, 2.0, "move")
    assert (second.treatment.convert["crf"], second.settle_secs, second.treatment.after) == (30, 3.5, "delete")
    assert (first.priority, second.priority) == (0, 7)


def test_paths_start_from_the_file_wherever_the_daemon_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mine.safetensors").touch()
    monkeypatch.chdir("/")
    config = load(tmp_path / "etc", 'style = "mine.safetensors"\n[[folder]]\npath = "../in"\noutput = "/out"\n')
    folder = config.folders[0]
    assert (folder.path, folder.output, folder.name) == (tmp_path / "in", Path("/out"), str(tmp_path / "in"))
    assert folder.treatment.convert["style"] == str(tmp_path / "etc" / "mine.safetensors")
    assert config.state_dir == Path("/out/.ugatit")
    assert config.source_file == tmp_path / "etc" / "watch.toml"


def test_values_reach_the_fields_that_they_fill_in_their_units(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        workers = 2
        devices = ["cuda:0", "cuda:1"]
        max_memory = "8G"
        state_dir = "state"
        min_free = "500 MB"
        max_minutes_at_1080p = 0.5
        [[folder]]
        path = "in"
        output = "out"
        folders = "each"
        on_done = ["notify", "{output}", "a b"]
        on_failed = "mail -s 'it failed' me"
        style_for = ["2=none"]
        faces = 3
        schedule = "22:00-06:00"
        """,
    )
    folder, treatment = config.folders[0], config.folders[0].treatment
    assert (config.workers, config.devices, config.memory_bytes) == (2, ("cuda:0", "cuda:1"), 8 << 30)
    assert config.state_dir == tmp_path / "state"
    assert (treatment.min_free_bytes, treatment.max_pixel_secs) == (500 << 20, 1920 * 1080 * 30)
    assert treatment.on_done == ("notify", "{output}", "a b")
    assert treatment.on_failed == ("mail", "-s", "it failed", "me")
    assert (folder.folders, folder.schedule) == ("each", "22:00-06:00")
    assert (list(treatment.convert["style_for"]), treatment.convert["faces"]) == (["2=none"], "3")
    assert Treatment.from_json(treatment.to_json()).to_json() == treatment.to_json()


HEAD = '[[folder]]\npath = "in"\noutput = "out"\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("crf = 99", "`crf` is 99"),
        ('style = "ton"', '`style` is "ton", and there is no style "ton" (did you mean "toon"?)'),
        ('style = "no.safetensors"', '`style` is "no.safetensors", and there is no file'),
        ('stlye = "toon"', "there is no key `stlye`; did you mean `style`?"),
        ('style-for = ["1=toon"]', "there is no key `style-for`; did you mean `style_for`?"),
        ("overwrite = true", "there is no key `overwrite`"),
        ("workers = 2", "`workers` counts for all folders; it belongs to the top"),
        ('after = "burn"', '`after` is "burn", not one of keep, move, delete.'),
        ("settle_secs = true", "`settle_secs` is true, not a number."),
        ("settle_secs = 0", "`settle_secs` is 0, not 0.05 to 86400."),
        ("settle_secs = nan", "`settle_secs` is nan, not 0.05 to 86400."),
        ("priority = 1.5", "`priority` is 1.5, not a whole number."),
        ('min_free = "lots"', '`min_free` is "lots", not a size; write it like "2G" or "500M".'),
        ('schedule = "22:00-06:00, foo"', '`schedule` is wrong: "foo" is no window of time'),
        ("on_done = 3", "`on_done` is not a command"),
        ('on_done = "mail \'x"', "cannot be cut into arguments: No closing quotation."),
        ('faces = "none"', "`faces`"),
        ("style = toon", "Invalid value (column 9)."),
        ('path = "twice"', "Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(tmp_path: Path, line: str, said: str) -> None:
    message = refusal(tmp_path, f"# a comment\n{HEAD}on_failed = [\n  'a',\n]\n\n{line}\n")
    assert message.startswith("watch.toml, line 9: ")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "watch.toml: no folder is named"),
        ("folder = 3", "watch.toml, line 1: no folder is named"),
        ("[folder]\npath='a'", "watch.toml, line 1: no folder is named"),
        ("\n[[folder]]\npath='in'", "watch.toml, line 2: this folder has no `output`."),
        ("\n[[folder]]\noutput='in'", "watch.toml, line 2: this folder has no `path`."),
        ("path = 'a'\n" + HEAD, "watch.toml, line 1: `path` belongs into a [[folder]] table."),
        ("[hooks]\non_done = 'x'\n" + HEAD, "watch.toml, line 1: there is no key `hooks`"),
    ],
)
def test_a_file_that_names_no_folder_rightly_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("in", "out"), ("in", "out2"), "is watched twice"),
        (("in", "out"), ("./x/../in", "out2"), "is watched twice"),
        (("in", "out"), ("in/deep", "out"), "lies in another watch folder"),
        (("in/deep", "out"), ("in", "out"), "lies in another watch folder"),
        (("in", "out"), ("in2", "in"), "would be taken for sources"),
        (("in", "out"), ("in2", "in/out"), "would be taken for sources"),
        (("in", "out"), ("out/in2", "out2"), "lies in a folder for results"),
        (("in", "out"), ("link", "out"), "is watched twice"),
        (("in", "out"), ("in2/x", "in2"), "lies in the folder for its results"),
        (("in", "out"), ("in2", "in2"), "lies in the folder for its results"),
    ],
)
def test_folders_that_would_feed_each_other_are_refused(
    tmp_path: Path, first: tuple[str, str], second: tuple[str, str], said: str
) -> None:
    (tmp_path / "link").symlink_to("in")
    tables = [f"[[folder]]\npath = '{path}'\noutput = '{output}'\n" for path, output in (first, second)]
    message = refusal(tmp_path, "".join(tables))
    assert said in message
    assert message.startswith("watch.toml, line 4: ")


def test_results_may_lie_in_their_own_watch_folder_and_be_shared(tmp_path: Path) -> None:
    text = "[[folder]]\npath='a'\noutput='a/out'\n[[folder]]\npath='ab'\noutput='o'\n[[folder]]\npath='c'\noutput='o'\n"
    assert [folder.path.name for folder in load(tmp_path, text).folders] == ["a", "ab", "c"]


@pytest.mark.parametrize("content", [b"\xff = 1", b"x = 1\n" * 200_000])
def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "watch.toml").write_bytes(content)
    with pytest.raises(WatchConfigError, match=r"watch\.toml"):
        load_config(tmp_path / "watch.toml")


def test_a_file_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    text = "\ufeff" + HEAD.replace("\n", "\r\n") + "crf = 99\r\n"
    (tmp_path / "watch.toml").write_bytes(text.encode())
    with pytest.raises(WatchConfigError, match=r"watch\.toml, line 4: `crf` is 99"):
        load_config(tmp_path / "watch.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WatchConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "watch.toml").write_text(f"{HEAD}crf = 20\nsettle_secs = 3\nstrength = 0.5\n")
    config = load_config(tmp_path / "watch.toml", {"crf": 30, "settle_secs": 1, "workers": 3})
    folder = config.folders[0]
    assert (folder.treatment.convert["crf"], folder.settle_secs, config.workers) == (30, 1.0, 3)
    assert folder.treatment.convert["strength"] == 0.5
    assert config.overrides == {"crf": 30, "settle_secs": 1.0, "workers": 3}


def test_a_style_file_of_the_command_line_starts_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.safetensors").touch()
    config = config_from_options(Path("in"), Path("out"), {"style": "mine.safetensors"})
    assert config.folders[0].treatment.convert["style"] == str(tmp_path / "mine.safetensors")
    assert config.folders[0].path == tmp_path / "in"
    with pytest.raises(WatchConfigError, match='the command line: `style` is "ton"'):
        config_from_options(Path("in"), Path("out"), {"style": "ton"})


def test_every_option_fills_a_field_and_every_default_is_within_its_bounds() -> None:
    known = {f.name for kind in (WatchConfig, FolderConfig, Treatment) for f in fields(kind)}
    for option in OPTIONS:
        assert option.filled_field in known
        default = default_of(option)
        if default is not None:
            assert option.check(default) == default

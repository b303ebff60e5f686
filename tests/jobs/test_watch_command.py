"""The command `watch` as a user meets it: options, refusals, and the dry run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import run
from jobs import cli_watch
from jobs.config import WatchConfig
from jobs.config_files import config_from_options
from jobs.handlers import default_choices
from jobs.job import Job, JobKind, Sighting, Stamp
from jobs.options import OPTIONS
from jobs.store import open_store


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    (tmp_path / "in").mkdir()
    return [str(tmp_path / "in"), "-o", str(tmp_path / "out")]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WatchConfig]:
    """What daemons would have been started with."""
    configs: list[WatchConfig] = []

    def note(config: WatchConfig, *, rebuild: bool) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(cli_watch, "_run", note)
    return configs


def call(*arguments: str) -> Result:
    return CliRunner().invoke(run.cli, ["watch", *arguments], auto_envvar_prefix="UGATIT", catch_exceptions=False)


def seen(root: Path) -> list[tuple[str, int, int]]:
    """Everything below a folder, with sizes and times."""
    found = [(str(path), path.lstat()) for path in sorted(root.rglob("*"))]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def dry(*arguments: str) -> dict[str, dict[str, Any]]:
    """Run dry with --json; return the items by the name of the source."""
    result = CliRunner().invoke(run.cli, ["--json", "watch", "--dry-run", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return {item["source"]: item for item in json.loads(result.stdout)["items"]}


def test_help_shows_every_option_of_watching_and_of_converting_with_its_default() -> None:
    text = " ".join(call("--help").output.split())
    for option in OPTIONS:
        assert (option.flag in text) == bool(option.heading or option.name == "output")
    for name in default_choices():
        assert (f"--{name.replace('_', '-')}" in text) == (name not in ("overwrite", "resume"))
    assert "SECONDS The folder is looked through so often, whatever events say. [default: 10]" in text
    assert "[default: 1G]" in text


def test_what_is_given_reaches_the_daemon_and_the_rest_has_its_default(
    folders: list[str], started: list[WatchConfig], tmp_path: Path
) -> None:
    options = ["--crf", "20", "--settle-secs", "2", "--min-free", "16M", "--workers", "2", "--after", "move", "--once"]
    result = call(*folders, *options, "--on-done", "say '{input} is ready' {output}", "--max-minutes-at-1080p", "2")
    assert result.exit_code == 0
    (config,) = started
    (folder,) = config.folders
    treatment = folder.treatment
    assert (folder.path, folder.output, folder.settle_secs) == (tmp_path / "in", tmp_path / "out", 2.0)
    assert (config.workers, config.is_once, config.dashboard) == (2, True, None)
    assert (treatment.convert, treatment.after) == (default_choices() | {"crf": 20}, "move")
    assert treatment.on_done == ("say", "{input} is ready", "{output}")
    assert (treatment.min_free_bytes, treatment.max_pixel_secs) == (16 << 20, 1920 * 1080 * 120)
    plain = config_from_options(tmp_path / "in", tmp_path / "out", {})
    assert (folder.incomplete_secs, config.stall_secs) == (plain.folders[0].incomplete_secs, plain.stall_secs)


def test_environment_variables_count_as_given(
    folders: list[str], started: list[WatchConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGATIT_WATCH_STRENGTH", "0.5")
    monkeypatch.setenv("UGATIT_WATCH_MAX_MEMORY", "2G")
    call(*folders)
    assert started[0].folders[0].treatment.convert["strength"] == 0.5
    assert started[0].memory_bytes == 2 << 30


def test_a_config_file_takes_the_place_of_the_folders(tmp_path: Path, started: list[WatchConfig]) -> None:
    (tmp_path / "watch.toml").write_text('[[folder]]\npath = "later"\noutput = "out"\ncrf = 20\n')
    assert call("--config", str(tmp_path / "watch.toml"), "--crf", "30", "--workers", "2").exit_code == 0
    (config,) = started
    assert config.folders[0].path == tmp_path / "later"
    assert config.folders[0].treatment.convert["crf"] == 30
    assert (config.source_file, config.overrides) == (tmp_path / "watch.toml", {"crf": 30, "workers": 2})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name the folder to watch"),
        (["in"], "Say where the results go: `watch in -o FOLDER`."),
        (["in", "-o", "out", "--config", "w.toml"], "Give either INBOX and -o, or --config"),
        (["--config", "w.toml", "-o", "out"], "Give either INBOX and -o, or --config"),
        (["in", "-o", "out", "--settle-secs", "0"], "it is 0, not 0.05 to 86400."),
        (["in", "-o", "out", "--workers", "two"], 'it is "two", not a number.'),
        (["in", "-o", "out", "--workers", "1.5"], "it is 1.5, not a whole number."),
        (["in", "-o", "out", "--schedule", "noon"], '"noon" is no window of time'),
        (["in", "-o", "out", "--after", "burn"], "'burn' is not one of"),
        (["in", "-o", "out", "--on-done", "say 'x"], "No closing quotation"),
        (["in", "-o", "out", "--overwrite"], "No such option"),
        (["in", "-o", "out", "--max-memory", "much"], 'it is "much", not a size'),
    ],
)
def test_a_wrong_call_is_refused_with_a_sentence(arguments: list[str], said: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_folder_that_is_not_there_and_a_style_that_nobody_knows_end_the_call(
    tmp_path: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["watch", str(tmp_path / "typo"), "-o", str(tmp_path / "out")]) == 16
    assert "is no folder" in capsys.readouterr().err
    assert run.main(["watch", *folders, "--style", "ton"]) == 2
    assert 'the command line: `style` is "ton"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_what_becomes_of_everything_and_touches_nothing(folders: list[str], tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "in" / "out"
    for name in ("clip.mp4", "paint/day/film.mkv", "album/1.jpg", "album/2.jpg", "mixed/a.jpg", "mixed/b.mp4"):
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(b"x")
    (inbox / "paint" / "day" / "film.mkv.toml").write_text("priority = 3\ncrf = 20\n")
    before = seen(tmp_path)
    items = dry(folders[0], "-o", str(out), "--style", "rehearsal")
    told = {name: (item["what"], item["kind"], item["style"], item["output"]) for name, item in items.items()}
    assert told == {
        "clip.mp4": ("convert", "video", "rehearsal", str(out / "clip.mp4")),
        "paint/day/film.mkv": ("convert", "video", "paint", str(out / "day" / "film.mkv")),
        "album": ("convert", "folder", "rehearsal", str(out / "album")),
        "mixed/a.jpg": ("convert", "picture", "rehearsal", str(out / "mixed" / "a.jpg")),
        "mixed/b.mp4": ("convert", "video", "rehearsal", str(out / "mixed" / "b.mp4")),
        "paint/day/film.mkv.toml": ("ignore", "", "", ""),
    }
    assert items["paint/day/film.mkv"]["priority"] == 3
    assert dry(*folders, "--folders", "each").keys() >= {"album/1.jpg", "album/2.jpg"}
    assert seen(tmp_path) == before


def test_a_dry_run_says_why_a_thing_is_left_out(folders: list[str], tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "in" / "out"
    out.mkdir()
    for folder in ("done", ".git"):
        (inbox / folder).mkdir()
    for name in ("notes.txt", "a.mp4.part", ".b.mp4.Xy12Ab", "done/c.mp4", "out/d.mp4", ".git/e.mp4"):
        (inbox / name).touch()
    os.mkfifo(inbox / "pipe.mp4")
    (inbox / "link.mp4").symlink_to("/etc/passwd")
    items = dry(folders[0], "-o", str(out))
    assert {item["what"] for item in items.values()} == {"ignore"}
    assert {name: item["why"] for name, item in items.items()} == {
        "notes.txt": "neither a video nor a picture",
        "a.mp4.part": "unfinished, by its name",
        ".b.mp4.Xy12Ab": "hidden",
        ".git": "hidden",
        "done": "sources that are through",
        "out": "the folder for the results",
        "pipe.mp4": "it is a pipe, which is never opened",
        "link.mp4": "it is a symbolic link, which is never opened",
    }


def test_a_dry_run_names_what_would_fail(folders: list[str], tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    for name in ("clip.mp4", "film.mp4", "film.mp4.toml"):
        (inbox / name).touch()
    (inbox / "film.mp4.toml").write_text("\nstrength = 3\n")
    (out / "clip.mp4").touch()
    items = dry(*folders, "--on-conflict", "fail")
    assert items["film.mp4"]["what"] == items["clip.mp4"]["what"] == "fail"
    assert items["film.mp4"]["why"].startswith("film.mp4.toml, line 2: `strength` is 3")
    assert "is there already" in items["clip.mp4"]["why"]
    assert dry(*folders)["clip.mp4"]["output"] == str(out / "clip-2.mp4")


def test_two_sources_of_one_name_get_two_results(folders: list[str], tmp_path: Path) -> None:
    for name in ("toon/clip.mp4", "paint/clip.mp4"):
        (tmp_path / "in" / name).parent.mkdir()
        (tmp_path / "in" / name).touch()
    outputs = {item["output"] for item in dry(*folders).values()}
    assert outputs == {str(tmp_path / "out" / "clip.mp4"), str(tmp_path / "out" / "clip-2.mp4")}


def accepted(tmp_path: Path, source: Path) -> Job:
    """Put a source into the job table of the folders."""
    folder = config_from_options(tmp_path / "in", tmp_path / "out", {}).folders[0]
    stamp = Stamp.of(source.stat())
    sighting = Sighting(
        JobKind.VIDEO, folder.name, source, Path(source.name), folder.output, folder.treatment, "hash", stamp
    )
    with open_store(tmp_path / "out" / ".ugatit" / "jobs.sqlite") as store:
        return store.sight([sighting])[0]


def test_a_dry_run_knows_what_is_in_the_job_table(folders: list[str], tmp_path: Path) -> None:
    source = tmp_path / "in" / "clip.mp4"
    source.touch()
    job = accepted(tmp_path, source)
    item = dry(*folders)["clip.mp4"]
    assert (item["what"], item["why"]) == ("known", f"job {job.id} is settling")
    source.write_bytes(b"other")
    item = dry(*folders)["clip.mp4"]
    assert (item["what"], item["why"]) == ("convert", f"it changed after job {job.id}")


def test_names_that_are_no_text_are_shown_and_break_nothing(folders: list[str], tmp_path: Path) -> None:
    for name in (b"\xff.mp4", b"a\nb.mp4", b"[red]c.mp4"):
        open(os.fsencode(tmp_path / "in") + b"/" + name, "wb").close()
    assert {item["what"] for item in dry(*folders).values()} == {"convert"}
    output = call(*folders, "--dry-run").output
    assert r"a\x0ab.mp4" in output
    assert "[red]c.mp4" in output
    assert output.endswith("3 to convert\n")


def test_a_watch_folder_that_is_away_is_told_and_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "clip.mp4").touch()
    tables = [f'[[folder]]\npath = "{name}"\noutput = "out"\n' for name in ("away", "here")]
    (tmp_path / "watch.toml").write_text("".join(tables))
    items = dry("--config", str(tmp_path / "watch.toml"))
    assert items[""]["what"] == "away"
    assert "cannot be read" in items[""]["why"]
    assert items["clip.mp4"]["what"] == "convert"

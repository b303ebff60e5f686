"""What single sources get: by a style's folder, and by a sidecar beside them."""

import os
import time
from pathlib import Path

import pytest

from jobs.config import FolderConfig
from jobs.config_files import config_from_options, treatment_for
from jobs.errors import WatchConfigError
from jobs.sidecars import sidecar_of


@pytest.fixture
def folder(tmp_path: Path) -> FolderConfig:
    given = {"style": "rehearsal", "crf": 20, "after": "move"}
    return config_from_options(tmp_path / "in", tmp_path / "out", given).folders[0]


def sidecar(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "clip.mp4.toml"
    path.write_text(text)
    return path


def test_a_source_without_anything_gets_what_its_folder_says(folder: FolderConfig) -> None:
    assert treatment_for(folder, Path("day/clip.mp4")) == (folder.treatment, Path("day/clip.mp4"), 0)


def test_a_first_folder_named_like_a_style_chooses_it_and_is_no_part_of_the_name(folder: FolderConfig) -> None:
    treatment, relative, _ = treatment_for(folder, Path("toon/day/clip.mp4"))
    assert (treatment.convert["style"], treatment.convert["crf"]) == ("toon", 20)
    assert relative == Path("day/clip.mp4")


@pytest.mark.parametrize("name", ["day/toon/clip.mp4", "Toon/clip.mp4", "toon", "mine.safetensors/clip.mp4"])
def test_other_folders_are_just_folders(folder: FolderConfig, name: str) -> None:
    treatment, relative, _ = treatment_for(folder, Path(name))
    assert treatment.convert["style"] == "rehearsal"
    assert relative == Path(name)


def test_no_weights_are_taken_from_a_watch_folder(folder: FolderConfig) -> None:
    (folder.path / "mine").mkdir(parents=True)
    (folder.path / "mine" / "mine.safetensors").touch()
    treatment, relative, _ = treatment_for(folder, Path("mine/clip.mp4"))
    assert (treatment.convert["style"], relative) == ("rehearsal", Path("mine/clip.mp4"))


def test_a_sidecar_goes_before_style_folder_and_watch_folder(folder: FolderConfig, tmp_path: Path) -> None:
    path = sidecar(tmp_path, 'style = "rehearsal"\ncrf = 30\nafter = "keep"\npriority = 5\nstyle_for = ["1=toon"]\n')
    treatment, relative, priority = treatment_for(folder, Path("toon/clip.mp4"), path)
    assert (treatment.convert["style"], treatment.convert["crf"], treatment.after) == ("rehearsal", 30, "keep")
    assert (relative, priority) == (Path("clip.mp4"), 5)
    assert folder.treatment.after == "move"


def test_an_empty_sidecar_changes_nothing(folder: FolderConfig, tmp_path: Path) -> None:
    assert treatment_for(folder, Path("clip.mp4"), sidecar(tmp_path, ""))[0] == folder.treatment


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("crf = 99", "`crf` is 99"),
        ('stile = "toon"', "there is no key `stile`; did you mean `style`?"),
        ('style = "toon', "Illegal character"),
        ('style = "/x/y.safetensors"', "styles go by their names"),
        ('style_for = ["1=./y.safetensors"]', "styles go by their names"),
        ('on_done = ["rm", "-rf", "/"]', "`on_done` cannot stand in a sidecar; it belongs into watch.toml."),
        ('parser_weights = "x.pth"', "`parser_weights` cannot stand in a sidecar"),
        ('output = "/etc"', "`output` cannot stand in a sidecar"),
        ('min_free = "1G"', "`min_free` cannot stand in a sidecar"),
        ("workers = 9", "`workers` cannot stand in a sidecar"),
        ("[folder]", "there is no key `folder`"),
    ],
)
def test_what_is_wrong_in_a_sidecar_is_said_with_line_and_key(
    folder: FolderConfig, tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(WatchConfigError) as caught:
        treatment_for(folder, Path("clip.mp4"), sidecar(tmp_path, f"# mine\n{line}\n"))
    assert str(caught.value).startswith("clip.mp4.toml, line 2: ")
    assert said in str(caught.value)


def test_a_pipe_or_a_link_for_a_sidecar_is_refused_and_not_waited_for(folder: FolderConfig, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    (tmp_path / "b.toml").symlink_to(sidecar(tmp_path, "crf = 3"))
    for name in ("a.toml", "b.toml"):
        with pytest.raises(WatchConfigError, match="no regular file"):
            treatment_for(folder, Path("clip.mp4"), tmp_path / name)


def test_what_a_sidecar_says_makes_no_second_line_in_a_log(folder: FolderConfig, tmp_path: Path) -> None:
    path = sidecar(tmp_path, 'style = "x\\nERROR all is lost\\u202e' + "y" * 5_000 + '"')
    with pytest.raises(WatchConfigError) as caught:
        treatment_for(folder, Path("clip.mp4"), path)
    assert "\n" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "text",
    [
        "crf = " + "[" * 8_000,
        "crf" + ".a" * 2_000 + " = 1",
        "crf = [" + "\n1," * 2_000 + "]",
        "\n".join(f"a{i} = 1" for i in range(900)),
        'crf = """' + "\n" * 8_000 + '"""',
        "crf = 1\n" * 9_000,
    ],
)
def test_a_sidecar_that_was_made_to_be_hard_to_read_is_refused_at_once(
    folder: FolderConfig, tmp_path: Path, text: str
) -> None:
    began = time.monotonic()
    with pytest.raises(WatchConfigError, match=r"clip\.mp4\.toml"):
        treatment_for(folder, Path("clip.mp4"), sidecar(tmp_path, text))
    assert time.monotonic() - began < 5


def test_a_sidecar_has_the_whole_name_of_its_source() -> None:
    assert sidecar_of(Path("/in/clip.mp4")) == Path("/in/clip.mp4.toml")

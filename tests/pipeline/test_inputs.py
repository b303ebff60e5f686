"""Which files become conversions, and under which names."""

import os
from pathlib import Path

from pipeline.errors import InputError, OutputExistsError, UnreadableInputError
from pipeline.inputs import check_clashes, collect


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_file_keeps_its_name_in_the_output_folder(tmp_path: Path) -> None:
    clip = touch(tmp_path / "holiday.mp4")
    [item] = collect([str(clip)], tmp_path / "out").items
    assert item.output == tmp_path / "out" / "holiday.mp4"
    assert item.report == tmp_path / "out" / "holiday.report.json"


def test_a_single_input_may_name_its_output_file(tmp_path: Path) -> None:
    clip = touch(tmp_path / "holiday.mp4")
    [item] = collect([str(clip)], tmp_path / "toon.mkv").items
    assert item.output == tmp_path / "toon.mkv"


def test_a_folder_keeps_its_tree_without_hidden_temporary_and_foreign_files(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("b/x.PNG", "a.jpg", ".hidden.jpg", ".cache/y.jpg", "notes.txt", "z.mp4.part", "clip.mov"):
        touch(photos / name)
    items = collect([str(photos)], tmp_path / "out").items
    assert [i.output.relative_to(tmp_path / "out").as_posix() for i in items] == ["a.jpg", "b/x.PNG", "clip.mov"]
    assert [i.is_picture for i in items] == [True, True, False]


def test_results_inside_the_input_folder_are_not_taken_for_inputs(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "out" / "a.jpg")
    items = collect([str(tmp_path)], tmp_path / "out").items
    assert [i.source for i in items] == [tmp_path / "a.jpg"]


def test_two_files_with_one_stem_get_reports_of_their_own(tmp_path: Path) -> None:
    names = [touch(tmp_path / n) for n in ("a.jpg", "a.png")]
    items = collect([str(n) for n in names], tmp_path / "out").items
    assert [i.report.name for i in items] == ["a.jpg.report.json", "a.png.report.json"]


def test_missing_inputs_and_empty_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    errors = dict(collect([str(tmp_path / "no.mp4"), str(tmp_path / "empty")], tmp_path / "out").errors)
    assert isinstance(errors[str(tmp_path / "no.mp4")], UnreadableInputError)
    assert type(errors[str(tmp_path / "empty")]) is InputError


def test_the_second_of_two_inputs_with_the_same_output_is_refused(tmp_path: Path) -> None:
    names = [touch(tmp_path / n / "clip.mp4") for n in ("one", "two")]
    items = collect([str(n) for n in names], tmp_path / "out").items
    clashes = check_clashes(items)
    assert list(clashes) == [items[1]]
    assert isinstance(clashes[items[1]], OutputExistsError)
    assert str(names[0]) in str(clashes[items[1]])


def test_an_input_is_never_its_own_output(tmp_path: Path) -> None:
    clip = touch(tmp_path / "clip.mp4")
    [item] = collect([str(clip)], tmp_path).items
    assert item in check_clashes([item])


def test_an_output_is_never_another_input_nor_the_same_file_under_another_path(tmp_path: Path) -> None:
    first, second = (touch(tmp_path / n / "clip.mp4") for n in ("one", "two"))
    clashes = check_clashes(collect([str(first), str(second)], tmp_path / "two").items)
    assert len(clashes) == 2
    (tmp_path / "link").symlink_to(tmp_path / "one")
    [item] = collect([str(tmp_path / "link" / "clip.mp4")], tmp_path / "one").items
    assert "input itself" in str(check_clashes([item])[item])


def test_a_file_that_is_named_twice_is_converted_once(tmp_path: Path) -> None:
    picture = touch(tmp_path / "a.jpg")
    assert len(collect([str(picture), str(tmp_path), str(picture)], tmp_path / "out").items) == 1


def test_names_that_are_empty_or_too_long_cost_only_themselves(tmp_path: Path) -> None:
    clip = touch(tmp_path / "clip.mp4")
    found = collect(["", "x" * 300, str(clip)], tmp_path / "out")
    assert [name for name, _ in found.errors] == ["", "x" * 300]
    assert [item.source for item in found.items] == [clip]


def test_the_longest_names_get_reports_whose_names_still_fit(tmp_path: Path) -> None:
    names = [touch(tmp_path / ("\u00e9" * 125 + f"{n}.mp4")) for n in ("a", "b")]
    reports = [item.report for item in collect([str(n) for n in names], tmp_path / "out").items]
    assert len(set(reports)) == 2
    for report in reports:
        assert report.name.endswith(".report.json")
        assert len(os.fsencode(report.name)) <= 255

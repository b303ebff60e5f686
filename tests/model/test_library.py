"""Styles are found by name in the user's folder and among the built-in ones."""

import pytest

from model import StyleNotFoundError, find_style, library, list_styles, load_style
from tests.model.networks import tiny_style


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A built-in folder with `toon` and `ink`, a user's folder with another `ink`."""
    built_in, user = tmp_path / "built_in", tmp_path / "user"
    monkeypatch.setattr(library, "_BUILT_IN_FOLDER", built_in)
    monkeypatch.setenv("UGATIT_STYLE_DIR", str(user))
    tiny_style("Toon").save(built_in / "toon.safetensors")
    tiny_style("Ink").save(built_in / "ink.safetensors")
    tiny_style("My ink").save(user / "ink.safetensors")
    return built_in, user


def test_the_list_is_sorted_and_tells_where_each_style_comes_from(folders):
    assert [(info.name, info.is_built_in) for info in list_styles()] == [("ink", False), ("toon", True)]


def test_a_style_of_the_user_wins_over_a_built_in_one(folders):
    assert load_style("ink").name == "My ink"
    assert load_style("toon").name == "Toon"


def test_without_the_variable_only_built_in_styles_are_there(folders, monkeypatch):
    monkeypatch.delenv("UGATIT_STYLE_DIR")
    assert load_style("ink").name == "Ink"


def test_a_path_is_taken_as_it_is(folders):
    path = folders[0] / "ink.safetensors"
    assert load_style(path).name == load_style(str(path)).name == "Ink"


def test_an_unknown_name_lists_the_known_ones(folders):
    with pytest.raises(StyleNotFoundError, match=r"no style 'tone'.* known names are: ink, toon"):
        load_style("tone")


def test_a_missing_file_is_named(folders, tmp_path):
    with pytest.raises(StyleNotFoundError, match=r"nowhere.safetensors"):
        find_style(tmp_path / "nowhere.safetensors")


def test_a_damaged_file_is_left_out_of_the_list_with_a_warning(folders, caplog):
    (folders[1] / "broken.safetensors").write_bytes(b"broken")
    assert [info.name for info in list_styles()] == ["ink", "toon"]
    assert "broken.safetensors" in caplog.text


def test_a_users_folder_that_is_not_there_is_no_fault(folders, monkeypatch, tmp_path):
    monkeypatch.setenv("UGATIT_STYLE_DIR", str(tmp_path / "missing"))
    assert [info.name for info in list_styles()] == ["ink", "toon"]

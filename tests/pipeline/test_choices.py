"""Choices from files are checked as the command line's are, and told by key."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import check_choices, default_choices, options_hash, settings_of, style_names
from pipeline.settings import ConvertSettings


def test_defaults_are_those_of_the_command_line_and_survive_json() -> None:
    assert settings_of(json.loads(json.dumps(default_choices()))) == ConvertSettings()
    assert check_choices({}) == default_choices()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"faces": "largest"}, {"faces": "1"}),
        ({"faces": "3,1,1"}, {"faces": "only:1,3"}),
        ({"style-for": ["2=none", "1=toon"]}, {"style_for": ["1=toon", "2=none"]}),
        ({"strength": 1}, {"strength": 1.0}),
        ({"crf": None}, {"crf": None}),
        ({"style": "rehearsal"}, {"style": "rehearsal"}),
        ({"style": "own/mine.safetensors"}, {"style": "own/mine.safetensors"}),
    ],
)
def test_values_come_back_in_their_one_spelling(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert check_choices(given) == default_choices() | wanted


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stlye": "toon"}, "`stlye` is no setting; did you mean `style`?"),
        ({"style": "tooon"}, '`style` .*"tooon" (did you mean "toon"?)'),
        ({"crf": 99}, "`crf` is 99, and it must be a whole number from 0 to 63"),
        ({"crf": True}, "`crf` .*whole number"),
        ({"strength": "1"}, '`strength` is "1", and it must be a number from 0 to 1'),
        ({"strict": 1}, "`strict` .*true or false"),
        ({"codec": "h264"}, "`codec` .*one of auto, libx264"),
        ({"face_like": "a.jpg"}, "`face_like` .*list"),
        ({"style_for": ["toon"]}, "`style_for`"),
        ({"faces": "-1"}, "`faces`"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
        check_choices(given)


def test_the_installed_styles_are_known_without_loading_any() -> None:
    assert "toon" in style_names()
    assert "rehearsal" not in style_names()


def test_whatever_shapes_the_result_shapes_the_hash(tmp_path: Path) -> None:
    style = tmp_path / "mine.safetensors"
    style.write_bytes(b"one")
    choices = check_choices({"style": str(style)})
    before = options_hash(choices, tmp_path)
    assert re.fullmatch("[0-9a-f]{20}", before)
    assert options_hash(choices | {"resume": False}, tmp_path) == before
    assert options_hash(choices | {"crf": 20}, tmp_path) != before
    assert options_hash(choices, tmp_path / "elsewhere") != before
    style.write_bytes(b"two")
    assert options_hash(choices, tmp_path) != before

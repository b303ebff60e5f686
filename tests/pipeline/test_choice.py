"""What `--faces` and `--style-for` understand."""

import pytest

from pipeline.choice import FaceChoice, parse_faces, parse_style_for


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("all", FaceChoice()),
        ("largest", FaceChoice(at_once=1)),
        ("2", FaceChoice(at_once=2)),
        ("only:2", FaceChoice(numbers=frozenset({2}))),
        ("Only: 1, 3", FaceChoice(numbers=frozenset({1, 3}))),
        ("1,3", FaceChoice(numbers=frozenset({1, 3}))),
        ("#2", FaceChoice(numbers=frozenset({2}))),
        ("#1,#3", FaceChoice(numbers=frozenset({1, 3}))),
    ],
)
def test_a_choice_of_faces_is_read(text: str, choice: FaceChoice) -> None:
    assert parse_faces(text) == choice


@pytest.mark.parametrize("text", ["0", "-1", "none", "", "only:", "only:0", "1;2", "1,,2", "#", "2.5", "²"])
def test_what_is_no_choice_of_faces_is_told_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match=r'is no choice of faces. Use "all".*only:1,3'):
        parse_faces(text)


def test_faces_are_given_styles_by_their_numbers() -> None:
    assert parse_style_for(["1=toon", "#3=my=odd.safetensors", "2=none"]) == {
        1: "toon",
        3: "my=odd.safetensors",
        2: "none",
    }


@pytest.mark.parametrize("text", ["toon", "=toon", "1=", "0=toon", "one=toon", "1:toon"])
def test_a_misspelt_style_for_a_face_is_told_how_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match='like "1=toon"'):
        parse_style_for([text])


def test_a_face_has_one_style() -> None:
    with pytest.raises(ValueError, match='face 1 is given two styles, "toon" and "ink"'):
        parse_style_for(["1=toon", "1=ink"])

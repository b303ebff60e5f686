"""The numbers of the parts are those of the data set, and groups are found by name."""

from __future__ import annotations

import pytest

from faceseg import parts
from faceseg.errors import UnknownPartGroupError
from faceseg.parts import FacePart


def test_parts_carry_the_data_sets_numbers() -> None:
    assert [part.value for part in FacePart] == list(range(19))
    assert (FacePart.SKIN, FacePart.GLASSES, FacePart.NOSE, FacePart.HAIR, FacePart.HAT) == (1, 6, 10, 17, 18)


def test_the_head_is_what_the_reference_system_stylises() -> None:
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17} == parts.HEAD


def test_no_group_holds_the_background_or_the_clothes() -> None:
    everything = frozenset().union(*parts.PART_GROUPS.values())

    assert everything.isdisjoint({FacePart.BACKGROUND, FacePart.CLOTH})


def test_groups_are_found_by_name() -> None:
    assert parts.part_group("mouth") == {11, 12, 13}
    with pytest.raises(UnknownPartGroupError, match="'beard' is no group of face parts; choose one of brows"):
        parts.part_group("beard")

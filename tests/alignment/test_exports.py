"""The room's public names: all there, each from its module, none of them dear to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import alignment


@pytest.mark.parametrize("name", alignment.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(alignment, name) is not None


def test_the_list_of_names_and_their_modules_agree() -> None:
    assert sorted(alignment.__all__) == sorted(alignment._HOME)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'detector'"):
        alignment.detector  # noqa: B018


def test_importing_the_room_imports_nothing_heavy() -> None:
    heavy = {"torch", "cv2", "scipy", "dlib", "face_alignment", "numpy"}
    code = f"import sys, alignment; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.mark.parametrize("module", ["detectors", "face_alignment_backend", "fan", "yunet", "hog", "landmarks"])
def test_no_module_imports_torch_or_dlib_before_it_is_used(module: str) -> None:
    heavy = {"torch", "dlib", "face_alignment"}
    code = f"import sys, alignment.{module}; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0

"""A node that is not fit is named, with what is the matter and what to do."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.chunk_fence import open_fence
from pipeline.cluster.node_check import complain, complain_of_identity, identity_of, make_probe
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(300_000))
    return path


def facts(source: Path, fence: Path) -> dict[str, Any]:
    return make_probe()(str(source), str(fence))


def told(source: Path, change: dict[str, Any]) -> str:
    """What is said of a node that differs so."""
    fence = open_fence(source.parent).path
    here = facts(source, fence)
    there = copy.deepcopy(facts(source, fence)) | change
    complaint = complain("gpu7 (10.0.0.7)", here, there, source, fence)
    assert complaint is not None
    assert complaint.startswith('node "gpu7 (10.0.0.7)" ')
    return complaint


def test_a_node_with_the_same_program_and_files_is_fit_and_leaves_no_mark(source: Path) -> None:
    fence = open_fence(source.parent).path
    assert complain("a", facts(source, fence), facts(source, fence), source, fence) is None
    assert [path.name for path in fence.iterdir() if path.name != "token"][1:] == []  # that of this machine


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": None}, "pip install"),
        ({"code": "other"}, "another version of ugatit-pipeline"),
        ({"python": "3.9"}, "runs Python 3.9"),
        ({"source": "No such file or directory"}, "cannot read .*clip.mp4.* mount the same shared folder"),
        ({"source": [5, "x"]}, "another file at .*clip.mp4"),
        ({"mark": "Permission denied"}, "cannot write to .*Permission denied"),
        ({"mark": ["other token", "node-1"]}, "another folder at"),
    ],
)
def test_a_node_that_differs_is_refused(source: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(told(source, change))


def test_another_release_of_a_package_is_named(source: Path) -> None:
    fence = open_fence(source.parent).path
    here, there = facts(source, fence), copy.deepcopy(facts(source, fence))
    there["packages"]["torch"] = "2.0"
    said = complain("a", here, there, source, fence)
    assert said is not None
    assert f"pip install torch=={here['packages']['torch']}" in said


def test_a_mark_that_is_not_seen_here_was_put_into_another_folder(source: Path) -> None:
    fence = open_fence(source.parent).path
    there = facts(source, fence)
    (fence / there["mark"][1]).unlink()
    said = complain("a", facts(source, fence), there, source, fence)
    assert said is not None
    assert "another folder" in said


def test_the_probe_runs_where_the_program_is_missing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert facts(source, open_fence(source.parent).path)["code"] is None


def test_a_node_that_computes_otherwise_is_refused() -> None:
    here = identity_of(build_studio(ConvertSettings(style="rehearsal")))
    assert complain_of_identity("a", here, copy.deepcopy(here)) is None
    said = complain_of_identity("gpu7", here, here | {"engines": ["recorded bf16 on NVIDIA H200"]})
    assert said is not None
    assert "recorded bf16 on NVIDIA H200" in said
    assert "torch fp32 on cpu" in said

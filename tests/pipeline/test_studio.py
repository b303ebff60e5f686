"""A job's identity: whatever changes a pixel changes it, so that a resumed run never mixes."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from model import load_style
from pipeline.settings import ConvertSettings
from pipeline.studio import Studio


def job(
    style: Path,
    *,
    source: str = "hash",
    output: str = "x.mp4",
    precision: str = "fp32",
    device: str = "cpu",
    style_for: tuple[str, ...] = (),
) -> str:
    """Identity of a job whose engine chose this precision, as `auto` does by machine."""
    studio = Studio(ConvertSettings(style=str(style), style_for=style_for, mask="box"))
    engine = SimpleNamespace(name="torch", device=device, precision=precision)
    studio.__dict__["engines"] = dict.fromkeys(studio.style_names, engine)
    return studio.job_of(source, Path("/out") / output)


@pytest.mark.parametrize("change", [{"source": "other"}, {"output": "y.mp4"}, {"precision": "bf16"}])
def test_another_source_output_or_arithmetic_is_another_job(change: dict[str, str], style_file: Path) -> None:
    assert job(style_file) == job(style_file)
    assert job(style_file, **change) != job(style_file)


def test_devices_of_one_kind_may_go_on_with_each_others_chunks(
    style_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"cuda:0": "H100", "cuda:1": "H100", "cuda:2": "T4"}
    monkeypatch.setattr("torch.cuda.get_device_name", kinds.__getitem__)
    monkeypatch.setattr("pipeline.studio.build_mask_maker", lambda *_, **__: SimpleNamespace(name="box"))
    assert ConvertSettings(device="cuda:0").fingerprint() == ConvertSettings(device="cuda:1").fingerprint()
    assert job(style_file, device="cuda:0") == job(style_file, device="cuda:1")
    assert job(style_file, device="cuda:0") != job(style_file, device="cuda:2")
    assert job(style_file, device="cuda:0") != job(style_file, device="cpu")


def test_another_style_for_one_face_is_another_job_and_so_is_another_file_of_that_name(
    style_file: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.safetensors"
    shutil.copy(style_file, second)
    named = (f"1={second}",)
    before = job(style_file, style_for=named)
    assert before != job(style_file)
    style = load_style(style_file)
    dataclasses.replace(style, card=dataclasses.replace(style.card, licence="other")).save(second)
    assert job(style_file, style_for=named) != before


def test_a_style_is_loaded_once_however_many_faces_wear_it(style_file: Path) -> None:
    studio = Studio(ConvertSettings(style=str(style_file), style_for=(f"1={style_file}", "2=none", f"4={style_file}")))
    assert studio.style_names == (str(style_file),)

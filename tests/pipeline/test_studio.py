"""A job's identity: whatever changes a pixel changes it, so that a resumed run never mixes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.settings import ConvertSettings
from pipeline.studio import Studio


def job(style: Path, *, source: str = "hash", output: str = "x.mp4", precision: str = "fp32") -> str:
    """Identity of a job whose engine chose this precision, as `auto` does by machine."""
    studio = Studio(ConvertSettings(style=str(style), mask="box"))
    studio.__dict__["engine"] = SimpleNamespace(name="torch", device="cpu", precision=precision)
    return studio.job_of(source, Path("/out") / output)


@pytest.mark.parametrize("change", [{"source": "other"}, {"output": "y.mp4"}, {"precision": "bf16"}])
def test_another_source_output_or_arithmetic_is_another_job(change: dict[str, str], style_file: Path) -> None:
    assert job(style_file) == job(style_file)
    assert job(style_file, **change) != job(style_file)

"""Rules that hold for every test: no ERROR log, one thread, nothing of the user's cache."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: the networks here are tiny, and processes that tests start shall compute the same bits.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def no_error_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A run that "passes" while it logs an error does not exist."""
    yield
    errors = [
        r.getMessage() for when in ("setup", "call") for r in caplog.get_records(when) if r.levelno >= logging.ERROR
    ]
    assert not errors


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that this machine's user has must not change what a test sees."""
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "torch"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development material beside the checkout; the test is skipped where there is none."""
    path = Path(__file__).parents[1].parent / "shared"
    if not (path / "DESIGN.md").exists():
        pytest.skip("no ../shared beside the checkout")
    return path


@pytest.fixture(scope="session")
def style_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny style with random weights."""
    from tests.pipeline.clips import write_style

    return write_style(tmp_path_factory.mktemp("style") / "tiny.safetensors")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a moving face with sound."""
    from tests.pipeline.clips import write_clip

    return write_clip(tmp_path_factory.mktemp("clip") / "astronaut.mp4")

"""Weights are found where they lie, fetched whole or not at all, and never used unchecked."""

from __future__ import annotations

import hashlib
import io
import urllib.error
from pathlib import Path

import pytest

from alignment.downloads import PublicWeights, cache_dir, fetch_weights, find_weights
from alignment.errors import AlignmentError, DetectorUnavailableError, LandmarkerUnavailableError, WeightsError

CONTENT = b"weights" * 1000


def weights_of(content: bytes = CONTENT, error: type[AlignmentError] = DetectorUnavailableError) -> PublicWeights:
    return PublicWeights(
        file_name="net.bin",
        url="https://example.invalid/net.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        num_bytes=len(content),
        used_by="net",
        instead="do without",
        error=error,
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes | Exception) -> list[str]:
    """Answer every download with `content`; returns the list of addresses asked for."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked


def test_weights_are_downloaded_once_and_then_found(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, CONTENT)
    for _ in range(2):
        assert fetch_weights(weights_of()) == cache / "net.bin"
    assert (cache / "net.bin").read_bytes() == CONTENT
    assert asked == ["https://example.invalid/net.bin"]
    assert [path.name for path in cache.iterdir()] == ["net.bin"]


def test_looking_never_downloads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, CONTENT)
    assert find_weights(weights_of()) is None
    with pytest.raises(DetectorUnavailableError, match="downloads are switched off"):
        fetch_weights(weights_of(), allow_download=False)
    assert asked == []
    assert not cache.exists()


def test_weights_that_torch_has_downloaded_before_are_found(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "net.bin").write_bytes(CONTENT)
    assert find_weights(weights_of()) == folder / "net.bin"


@pytest.mark.parametrize("served", [CONTENT[:-1], CONTENT + b"!", b"<html>not found</html>", b""])
def test_a_download_that_is_not_the_published_file_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, served: bytes
) -> None:
    serve(monkeypatch, served)
    with pytest.raises(WeightsError, match=r"did not give the published 'net\.bin'"):
        fetch_weights(weights_of())
    assert list(cache.iterdir()) == []


def test_an_endless_download_is_cut_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.BytesIO):
        given = 0

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size > 0
            self.given += size
            return b"x" * size

    served = Endless()
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: served)
    with pytest.raises(WeightsError):
        fetch_weights(weights_of())
    assert served.given == 2 * len(CONTENT)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (urllib.error.URLError("Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_offline_one_sentence_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, reason: str
) -> None:
    serve(monkeypatch, failure)
    with pytest.raises(DetectorUnavailableError) as caught:
        fetch_weights(weights_of())
    message = str(caught.value)
    assert reason in message
    assert f"Download 'https://example.invalid/net.bin' elsewhere and save it as '{cache / 'net.bin'}'" in message
    assert message.endswith("or do without.")


def test_the_error_is_of_the_kind_the_weights_say(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TimeoutError())
    with pytest.raises(LandmarkerUnavailableError, match="TimeoutError"):
        fetch_weights(weights_of(error=LandmarkerUnavailableError))


def test_a_damaged_file_in_the_cache_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, CONTENT)
    cache.mkdir()
    (cache / "net.bin").write_bytes(CONTENT[:100])
    with pytest.raises(WeightsError) as caught:
        fetch_weights(weights_of())
    assert str(cache / "net.bin") in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert asked == []


def test_a_file_the_user_names_is_taken_as_it_is(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.bin").write_bytes(b"another version")
    assert fetch_weights(weights_of(), tmp_path / "mine.bin") == tmp_path / "mine.bin"


def test_a_file_the_user_names_must_be_there(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, CONTENT)
    with pytest.raises(DetectorUnavailableError, match=r"no weights file '.*missing\.bin' for 'net'"):
        fetch_weights(weights_of(), tmp_path / "missing.bin")
    assert asked == []


def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGATIT_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "ugatit-pipeline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "ugatit-pipeline"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path.home() / "Library" / "Caches" / "ugatit-pipeline"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_dir() == tmp_path / "local" / "ugatit-pipeline"

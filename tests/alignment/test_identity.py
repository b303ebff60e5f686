"""Whose face it is: OpenCV's class around an embedder, and likeness as a median."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from alignment.errors import EmbedderUnavailableError, WeightsError
from alignment.identity import WEIGHTS, SFaceEmbedder, likeness, unit_length
from alignment.warp import transform_points

from .tiny_onnx import write_embedder

FIVE = np.float32([[203, 108], [246, 108], [225, 133], [206, 151], [243, 152]])
"""The astronaut's eyes, nose and mouth corners."""


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> SFaceEmbedder:
    return SFaceEmbedder(write_embedder(tmp_path_factory.mktemp("onnx") / "tiny.onnx"))


def test_an_embedding_has_length_one_and_reads_colours_in_their_order(embedder: SFaceEmbedder) -> None:
    red = np.full((200, 200, 3), (200, 20, 20), np.uint8)
    embedding = embedder.embed(red, FIVE - 120)
    assert embedding.shape == (48,)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    middle = embedding.reshape(3, 4, 4)[:, 1:3, 1:3].mean((1, 2))
    assert np.argmax(middle) == 0  # SFace is fed RGB: OpenCV swaps what it is given


def test_a_face_is_aligned_by_its_points_before_it_is_embedded(embedder: SFaceEmbedder) -> None:
    # Given the same face turned, shrunk and moved
    picture = astronaut()
    move = np.float32(cv2.getRotationMatrix2D((225, 125), 35, 0.7)) + np.float32([[0, 0, 30], [0, 0, 40]])
    moved = cv2.warpAffine(picture, move, (420, 420), flags=cv2.INTER_AREA)
    # When both are embedded
    first = embedder.embed(picture, FIVE)
    second = embedder.embed(moved, transform_points(move, FIVE))
    # Then they are alike, and unlike what stands beside the face
    assert first @ second > 0.999
    assert first @ embedder.embed(picture, FIVE + np.float32([150, 200])) < 0.99


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sface.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"sface\.onnx' is not an SFace"):
        SFaceEmbedder(tmp_path / "sface.onnx")


def test_missing_weights_are_told_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(EmbedderUnavailableError, match=r"no route to host.*save it as.*sface_2021dec.*--faces"):
        SFaceEmbedder()
    with pytest.raises(EmbedderUnavailableError, match=r"there is no weights file 'mine.onnx' for 'sface'"):
        SFaceEmbedder(Path("mine.onnx"))


def test_the_published_weights_are_known_by_size_and_checksum() -> None:
    assert WEIGHTS.num_bytes == 38_696_353
    assert len(WEIGHTS.sha256) == 64


def test_likeness_is_the_median_over_samples_of_the_best_reference() -> None:
    east, north = unit_length([1, 0]), unit_length([0, 2])
    odd = unit_length([-1, 0])
    assert likeness([east, east, odd], [east]) == pytest.approx(1)
    assert likeness([east, odd, odd], [east]) == pytest.approx(-1)
    assert likeness([north], [east, north]) == pytest.approx(1)
    assert likeness([unit_length([1, 1])], [east]) == pytest.approx(2**-0.5)

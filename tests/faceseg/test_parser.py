"""The parser takes pictures, finds its weights, and says clearly when it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from faceseg.bisenet import BiSeNet
from faceseg.errors import ParserUnavailableError, ParserWeightsError
from faceseg.parser import FaceParser, cache_folder, load_face_parser


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "79999_iter.pth"
    torch.save(BiSeNet().state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def _without_the_users_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGATIT_FACE_PARSER", raising=False)
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "cache"))


def test_pictures_become_probabilities_at_their_own_size() -> None:
    parser = FaceParser(BiSeNet(), working_size_px=64)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 40, 56, 3), np.uint8)

    probabilities = parser.parse(pictures)

    assert probabilities.shape == (2, 19, 40, 56)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 40, 56))
    as_images = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(probabilities, parser(as_images))


@pytest.mark.parametrize(
    "pictures", [np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 3, 8, 8), np.uint8)]
)
def test_anything_but_a_batch_of_rgb_pictures_is_refused(pictures: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"pictures must be NHWC uint8 RGB, got \w+ of shape"):
        FaceParser(BiSeNet(), working_size_px=64).parse(pictures)


def test_training_around_the_parser_leaves_its_norms_frozen() -> None:
    holder = torch.nn.ModuleList([FaceParser(BiSeNet())]).train()

    assert not any(module.training for module in holder[0].modules())
    assert not any(parameter.requires_grad for parameter in holder.parameters())


def test_weights_load_from_a_path_the_environment_or_the_cache(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = torch.load(checkpoint, weights_only=True)["ffm.conv1.weight"]

    assert torch.equal(load_face_parser(checkpoint).network.ffm.conv1.weight, want)
    monkeypatch.setenv("UGATIT_FACE_PARSER", str(checkpoint))
    assert torch.equal(load_face_parser().network.ffm.conv1.weight, want)
    monkeypatch.delenv("UGATIT_FACE_PARSER")
    cache_folder().mkdir(parents=True)
    (cache_folder() / "79999_iter.pth").symlink_to(checkpoint)
    assert torch.equal(load_face_parser().network.ffm.conv1.weight, want)


def test_absent_weights_are_one_sentence_that_says_where_to_get_and_where_to_put_them() -> None:
    with pytest.raises(ParserUnavailableError) as caught:
        load_face_parser()

    message = str(caught.value)
    assert str(cache_folder() / "79999_iter.pth") in message
    assert "https://github.com/zllrunning/face-parsing.PyTorch" in message
    assert "UGATIT_FACE_PARSER" in message
    assert "\n" not in message


def test_a_damaged_file_is_named(tmp_path: Path, checkpoint: Path) -> None:
    for content in (b"", b"not a checkpoint", checkpoint.read_bytes()[:100_000]):
        path = tmp_path / "79999_iter.pth"
        path.write_bytes(content)
        with pytest.raises(ParserWeightsError, match=r"79999_iter\.pth' cannot be read as a checkpoint"):
            load_face_parser(path)


@pytest.mark.parametrize("content", [{"conv.weight": torch.zeros(3)}, torch.zeros(3), ["a"], {}, {"cp": "x"}])
def test_another_networks_weights_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")

    with pytest.raises(ParserWeightsError, match=r"other\.pth' does not hold the face parser's weights"):
        load_face_parser(tmp_path / "other.pth")


def test_code_inside_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "ran"),)

    torch.save(Evil(), tmp_path / "evil.pth")

    with pytest.raises(ParserWeightsError):
        load_face_parser(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()

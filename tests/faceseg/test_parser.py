"""The parser takes pictures, finds its weights, and says clearly when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from faceseg import parser as parser_module
from faceseg.bisenet import BiSeNet
from faceseg.errors import ParserUnavailableError, ParserWeightsError
from faceseg.parser import BiSeNetParser, BuiltInParser, FaceParser, cache_folder, find_weights, load_face_parser
from faceseg.part_net import PartNet


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


def small_parser() -> BuiltInParser:
    torch.manual_seed(4)
    return BuiltInParser(PartNet((4, 4, 8, 8, 8), (1, 1, 1, 1), (4, 4, 4, 4)), working_size_px=64)


@pytest.mark.parametrize("build", [small_parser, lambda: BiSeNetParser(BiSeNet(), working_size_px=64)])
def test_pictures_become_probabilities_at_their_own_size(build: Callable[[], FaceParser]) -> None:
    parser = build()
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
        small_parser().parse(pictures)


def test_training_around_the_parser_leaves_its_norms_frozen() -> None:
    holder = torch.nn.ModuleList([small_parser()]).train()

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


def test_the_built_in_parser_is_used_where_there_is_no_other(checkpoint: Path) -> None:
    assert find_weights() == parser_module.BUILT_IN_WEIGHTS
    assert load_face_parser().name == "built-in"
    assert load_face_parser(checkpoint).name == "bisenet"


@pytest.mark.parametrize("is_by_variable", [True, False])
def test_absent_weights_are_one_sentence_that_says_where_to_get_them(
    is_by_variable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = tmp_path / "79999_iter.pth"
    if is_by_variable:
        monkeypatch.setenv("UGATIT_FACE_PARSER", str(absent))

    with pytest.raises(ParserUnavailableError) as caught:
        load_face_parser(None if is_by_variable else absent)

    message = str(caught.value)
    assert f"'{absent}'" in message
    assert "https://github.com/zllrunning/face-parsing.PyTorch" in message
    assert ("UGATIT_FACE_PARSER names it" in message) == is_by_variable
    assert "\n" not in message


def test_a_damaged_file_of_the_built_in_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    for content in (b"", b"not weights"):
        path.write_bytes(content)
        with pytest.raises(ParserWeightsError, match=r"mine\.safetensors' cannot be read as weights"):
            load_face_parser(path)
    save_file({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(ParserWeightsError, match=r"mine\.safetensors' does not hold the face parser's weights"):
        load_face_parser(path)


@pytest.mark.parametrize("build", [small_parser, lambda: BiSeNetParser(BiSeNet(), working_size_px=64)])
def test_gradients_reach_the_pictures_and_no_weight(build: Callable[[], FaceParser]) -> None:
    parser, images = build(), torch.rand(1, 3, 64, 64, requires_grad=True)

    parser(images)[:, 17].mean().backward()

    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in parser.parameters())


def test_a_picture_is_parsed_alike_alone_and_in_a_batch() -> None:
    parser, pictures = small_parser(), np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)

    together, alone = parser.parse(pictures), torch.cat([parser.parse(picture[None]) for picture in pictures])

    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


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

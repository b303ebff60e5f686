import json
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import Generator, GeneratorConfig, Style, StyleCard, build_generator
from trainer import features
from trainer.errors import FeatureWeightsError, TrainingDataError
from trainer.evaluation import Evaluator, evaluate_style, score_lines
from trainer.features import InceptionFeatures, ParserFeatures, inception_file, load_features
from trainer.metrics import Features, fid, kid
from trainer.networks import DIRECTIONS
from trainer.translate import Pictures

A2B, B2A = DIRECTIONS


@dataclass(frozen=True)
class Both:
    pictures_a: Pictures
    pictures_b: Pictures


class MeanColours:
    """Features that a test can compute in its head: the mean of each colour."""

    name = "colours"
    num_features = 3

    def __init__(self) -> None:
        self.largest = 0

    def __call__(self, pictures: Pictures) -> Features:
        self.largest = max(self.largest, len(pictures))
        return pictures.mean((1, 2)).astype(np.float32) / 255


def noise(count: int, low: int, high: int, seed: int) -> Pictures:
    return np.random.default_rng(seed).integers(low, high, (count, 32, 32, 3), np.uint8)


@pytest.fixture
def both() -> Both:
    return Both(noise(10, 0, 100, 1), noise(6, 150, 255, 2))


@pytest.fixture(scope="module")
def parser_features() -> ParserFeatures:
    found = load_features("parser")
    assert isinstance(found, ParserFeatures)
    return found


def tiny_generator() -> Generator:
    torch.manual_seed(0)
    return build_generator(GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=32, head_size=1))


def test_scores_are_those_of_fakes_against_the_target_with_their_counts(both: Both) -> None:
    extract = MeanColours()
    scores = Evaluator(both, extract).direction_scores(A2B, lambda pictures: pictures + 100)
    fakes, target, source = (extract(p) for p in (both.pictures_a + 100, both.pictures_b, both.pictures_a))
    to_target, to_source = kid(target, fakes), kid(source, fakes)
    assert scores == {
        "fid_colours": pytest.approx(fid(target, fakes)),
        "kid_colours": pytest.approx(to_target.value),
        "kid_colours_std": pytest.approx(to_target.std),
        "kid_colours_two_domain": pytest.approx((to_target.value + to_source.value) / 2),
        "num_fake": 10,
        "num_real": 6,
        "num_source": 10,
    }


def test_leaving_pictures_untouched_is_no_distance_from_the_source_and_all_of_it_from_the_target(both: Both) -> None:
    evaluator = Evaluator(both, MeanColours())
    untouched = evaluator.direction_scores(B2A, lambda pictures: pictures)
    assert evaluator.untouched_scores(B2A)["kid_colours"] == pytest.approx(untouched["kid_colours"])
    assert untouched["kid_colours_two_domain"] < untouched["kid_colours"]


def test_both_directions_are_measured_and_the_chooser_is_among_the_scores(both: Both) -> None:
    evaluator = Evaluator(both, MeanColours())
    scores = evaluator.scores({"gen_a2b": tiny_generator(), "gen_b2a": tiny_generator()})
    assert {name.split("/")[0] for name in scores} == {"a2b", "b2a"}
    assert evaluator.chooses_by in scores
    assert (scores["a2b/num_fake"], scores["b2a/num_fake"]) == (10, 6)


def test_scores_of_a_run_are_told_in_a_line_for_each_kind_and_direction(both: Both) -> None:
    scores = Evaluator(both, MeanColours()).direction_scores(A2B, lambda pictures: pictures)
    lines = score_lines({f"{kind}/a2b/{name}": value for kind in ("averaged", "raw") for name, value in scores.items()})
    assert [line.split()[:2] for line in lines] == [["averaged", "a2b"], ["raw", "a2b"]]
    assert f"KID {scores['kid_colours']:.5f}" in lines[0]
    assert lines[0].endswith("10 fakes, 6 real, features: colours")


def test_fakes_are_made_and_measured_a_few_at_a_time(both: Both) -> None:
    sizes: list[int] = []

    def translate(pictures: Pictures) -> Pictures:
        sizes.append(len(pictures))
        return pictures

    Evaluator(both, MeanColours()).direction_scores(A2B, translate)
    assert sum(sizes) == 10
    assert max(sizes) <= 4


def test_a_single_test_picture_gives_no_scores() -> None:
    lonely = Both(noise(1, 0, 255, 0), noise(5, 0, 255, 1))
    assert Evaluator(lonely, MeanColours()).scores({"gen_a2b": tiny_generator()}) == {}


def test_parser_features_do_not_depend_on_company_or_on_size_much(parser_features: ParserFeatures) -> None:
    from skimage.data import astronaut

    large = astronaut()[None]
    small = cv2.resize(large[0], (256, 256), interpolation=cv2.INTER_AREA)[None]
    alone, together = parser_features(small), parser_features(np.concatenate([small] * 3))
    assert alone.shape == (1, parser_features.num_features)
    assert np.allclose(alone, together[2:], atol=1e-4)
    apart = np.abs(alone - parser_features(noise(1, 0, 255, 3))).mean()
    assert np.abs(alone - parser_features(large)).mean() < apart / 10


def test_parser_features_rank_a_blurred_picture_further_away(parser_features: ParserFeatures) -> None:
    from skimage.data import astronaut

    face = astronaut()[:256, 96:352]
    moved = np.stack([np.roll(face, shift, axis=1) for shift in range(0, 16, 2)])
    others = np.stack([np.roll(face, shift, axis=1) for shift in range(1, 17, 2)])
    blurred = np.stack([cv2.GaussianBlur(picture, (0, 0), 2) for picture in others])
    real = parser_features(moved)
    assert kid(real, parser_features(blurred)).value > 10 * abs(kid(real, parser_features(others)).value)


def test_automatic_features_are_the_parsers_where_there_is_no_inception() -> None:
    assert load_features("auto").name == "parser"


def test_inception_that_cannot_be_fetched_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(FeatureWeightsError, match=r"no route to host.*--features parser") as caught:
        load_features("inception")
    assert str(inception_file()) in str(caught.value)


def test_a_damaged_inception_file_is_an_error_when_asked_for_and_left_out_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    inception_file().parent.mkdir(parents=True)
    inception_file().write_bytes(b"cut off")
    with pytest.raises(FeatureWeightsError, match="damaged"):
        load_features("inception")
    assert load_features("auto").name == "parser"
    assert "damaged" in caplog.text


def test_inception_gives_its_pooled_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # Given: a file that passes for the weights; the network keeps its random ones.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(features, "_sha256", lambda path: "6726825d")
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    inception_file().parent.mkdir(parents=True)
    torch.save({}, inception_file())
    # When / Then
    extract = load_features("auto")
    assert isinstance(extract, InceptionFeatures)
    rows = extract(noise(2, 0, 255, 0))
    assert rows.shape == (2, 2048)
    assert rows.dtype == np.float32


def test_unknown_features_are_refused() -> None:
    with pytest.raises(ValueError, match="'clip'"):
        load_features("clip")


@pytest.fixture
def data(tmp_path: Path, both: Both) -> Path:
    for name, pictures in (("testA", both.pictures_a), ("testB", both.pictures_b)):
        (tmp_path / name).mkdir()
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), picture)
    return tmp_path


@pytest.fixture
def style(tmp_path: Path) -> Path:
    generator = tiny_generator()
    config = GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=32, head_size=1)
    Style("tiny", StyleCard(crop_size_px=32), config, generator).save(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_a_style_is_measured_timed_and_drawn(data: Path, style: Path) -> None:
    evaluation = evaluate_style(str(style), data, features="parser", device="cpu", precision="fp32")
    told = json.loads(json.dumps(evaluation.figures, allow_nan=False))
    assert told["num_pictures"] == {"fake": 10, "real": 6, "source": 10}
    assert set(told["scores"]) == {"fid_parser", "kid_parser", "kid_parser_std", "kid_parser_two_domain"}
    assert told["ms_per_picture"] > 0
    assert (told["style"], told["size_px"], told["precision"]) == ("tiny", 32, "fp32")
    assert evaluation.grid.ndim == 3
    assert "10 fakes against 6 real pictures of B" in evaluation.lines()[0]


def test_the_scores_of_a_style_are_those_that_its_training_measures(data: Path, style: Path, both: Both) -> None:
    from model import load_style

    scores = evaluate_style(style, data, features="parser", device="cpu", precision="fp32").figures["scores"]
    rgb = Both(both.pictures_a[..., ::-1], both.pictures_b[..., ::-1])  # OpenCV wrote them as BGR
    trained = Evaluator(rgb, load_features("parser")).scores({"gen_a2b": load_style(style).generator})
    assert scores["kid_parser"] == pytest.approx(trained["a2b/kid_parser"], rel=1e-3)


def test_a_style_without_test_pictures_is_told_what_is_missing(tmp_path: Path, style: Path) -> None:
    with pytest.raises(TrainingDataError, match="testA"):
        evaluate_style(style, tmp_path / "nothing", features="parser")

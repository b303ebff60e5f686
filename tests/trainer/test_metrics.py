import numpy as np
import pytest
import torch

from tests.oracle import Fixture
from trainer.metrics import fid, kid, kid_of_subsets


@pytest.fixture
def oracle() -> Fixture:
    return Fixture("fid_kid")


def sets(oracle: Fixture) -> tuple[np.ndarray, np.ndarray]:
    return oracle.tensors["in.features_a"].numpy(), oracle.tensors["in.features_b"].numpy()


def test_fid_agrees_with_the_reference(oracle: Fixture) -> None:
    a, b = sets(oracle)
    assert fid(a, b) == pytest.approx(oracle.meta["values"]["fid"], rel=1e-9)


def test_fid_with_fewer_pictures_than_features_agrees_with_the_eigenvalue_form(oracle: Fixture) -> None:
    a, b = sets(oracle)
    wanted = oracle.meta["values"]["fid_rank_deficient"]
    rows = wanted["first_n_rows"]
    assert fid(a[:rows], b[:rows]) == pytest.approx(wanted["by_eigenvalues"], rel=1e-6)


def test_fid_of_a_set_and_itself_is_zero(oracle: Fixture) -> None:
    a, _ = sets(oracle)
    assert fid(a, a) == pytest.approx(0, abs=1e-10)


def test_kid_agrees_with_the_unbiased_float64_reference(oracle: Fixture) -> None:
    assert kid(*sets(oracle)).value == pytest.approx(oracle.meta["values"]["kid_unbiased"], rel=1e-9)


def test_kid_of_each_recorded_subset_agrees(oracle: Fixture) -> None:
    a, b = sets(oracle)
    rows = zip(oracle.tensors["kid.subsets_a"].numpy(), oracle.tensors["kid.subsets_b"].numpy(), strict=True)
    got = [kid(a[i], b[j]).value for i, j in rows]
    assert got == pytest.approx(oracle.meta["values"]["kid_subsets"], rel=1e-9)


def test_kid_of_unequal_sets_comes_near_the_estimate_from_all_rows(oracle: Fixture) -> None:
    a, b = sets(oracle)
    wanted = oracle.meta["values"]["kid_unbiased_unequal_sizes"]
    a, b = a[: wanted["rows_a"]], b[: wanted["rows_b"]]
    score = kid(a, b)
    assert score.value == pytest.approx(wanted["value"], abs=score.std / 4)
    assert kid(a, b) == score  # the subsets are always the same


def test_random_subsets_leave_the_dice_of_the_run_alone(oracle: Fixture) -> None:
    before = torch.get_rng_state()
    kid_of_subsets(*sets(oracle), subset_size=50, num_subsets=3)
    assert torch.equal(before, torch.get_rng_state())


def test_kid_of_two_halves_of_a_set_is_zero_within_its_deviation(oracle: Fixture) -> None:
    a, _ = sets(oracle)
    score = kid(a[::2], a[1::2])
    assert abs(score.value) < 2 * score.std


@pytest.mark.parametrize("score", [fid, kid])
def test_a_score_of_one_picture_is_refused_with_the_numbers(score: object) -> None:
    with pytest.raises(ValueError, match="1 real and 5 fake"):
        score(np.zeros((1, 4), np.float32), np.zeros((5, 4), np.float32))  # type: ignore[operator]

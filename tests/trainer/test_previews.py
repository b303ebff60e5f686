import numpy as np
import pytest
import torch

from model import Generator
from trainer.config import NetworkConfig, TrainConfig
from trainer.grid import MIN_TILE_PX, Row, Section, draw_grid
from trainer.networks import DIRECTIONS, build_networks
from trainer.previews import draw_heatmap, draw_preview, translation_tiles
from trainer.translate import translate

Generators = dict[str, Generator]


def tiny_generators(num_masks: int = 0) -> Generators:
    networks = NetworkConfig(
        image_size_px=32, base_channels=4, num_blocks=1, local_depth=3, global_depth=3, num_masks=num_masks
    )
    return build_networks(TrainConfig(networks=networks), "cpu").generators


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), np.uint8)


def test_a_preview_has_two_rows_a_picture_for_raw_and_averaged_and_both_directions(pictures: np.ndarray) -> None:
    generators = tiny_generators()
    with_average = draw_preview(generators, tiny_generators(), pictures, pictures[:1])
    without = draw_preview(generators, None, pictures, pictures[:1])
    rows = 3  # two pictures of A, one of B
    assert with_average.shape[0] - without.shape[0] == rows * (MIN_TILE_PX + 4)
    assert with_average.shape[1] == without.shape[1]
    assert with_average.dtype == np.uint8


def test_tiles_are_what_their_names_say(pictures: np.ndarray) -> None:
    generators = tiny_generators()
    a2b, b2a = generators["gen_a2b"], generators["gen_b2a"]
    tiles = translation_tiles(a2b, b2a, DIRECTIONS[0], pictures[0])
    assert list(tiles) == ["real A", "heat map", "fake B", "cycled A", "identity A"]
    assert np.array_equal(tiles["fake B"], translate(a2b, pictures[:1])[0])
    assert np.array_equal(tiles["identity A"], translate(b2a, pictures[:1])[0])
    assert np.array_equal(tiles["real A"], pictures[0])
    from_b = translation_tiles(b2a, a2b, DIRECTIONS[1], pictures[0])
    assert np.array_equal(from_b["fake A"], translate(b2a, pictures[:1])[0])


def test_attention_masks_are_shown_where_there_are_any(pictures: np.ndarray) -> None:
    generators = tiny_generators(num_masks=2)
    tiles = translation_tiles(generators["gen_a2b"], None, DIRECTIONS[0], pictures[0])
    assert list(tiles) == ["real A", "heat map", "fake B", "attention 1", "attention 2"]
    total = tiles["attention 1"].astype(int) + tiles["attention 2"]
    assert np.abs(total - 255).max() <= 1


def test_drawing_a_preview_changes_nothing_of_the_training(pictures: np.ndarray) -> None:
    generators = tiny_generators()
    for generator in generators.values():
        generator.train()
    before = {key: value.clone() for key, value in generators["gen_a2b"].state_dict().items()}
    dice = torch.get_rng_state()
    draw_preview(generators, None, pictures, pictures)
    assert torch.equal(dice, torch.get_rng_state())
    assert all(generator.training for generator in generators.values())
    assert all(torch.equal(value, before[key]) for key, value in generators["gen_a2b"].state_dict().items())


def test_a_diverged_generator_still_has_a_preview(pictures: np.ndarray) -> None:
    generators = tiny_generators()
    with torch.no_grad():
        for parameter in generators["gen_a2b"].parameters():
            parameter.fill_(torch.nan)
    tiles = translation_tiles(generators["gen_a2b"], generators["gen_b2a"], DIRECTIONS[0], pictures[0])
    assert np.unique(tiles["fake B"]).tolist() == [128]


def test_a_heat_map_is_red_where_it_is_largest_and_blue_where_it_is_least() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[:, 2:] = 1e-9  # tiny differences count as much as large ones
    drawn = draw_heatmap(np.full((32, 32, 3), 128, np.uint8), heat).astype(int)
    assert drawn[16, 2, 2] > drawn[16, 2, 0]
    assert drawn[16, 29, 0] > drawn[16, 29, 2]


def test_a_grid_aligns_columns_by_name_and_leaves_gaps() -> None:
    white, black = np.full((200, 200, 3), 255, np.uint8), np.zeros((200, 200, 3), np.uint8)
    grid = draw_grid([Section("", [Row("", {"one": white, "two": black}), Row("", {"two": black})])])
    dark = grid.mean(2) < 10
    tops = [26 + 2, 26 + 204 + 2]
    assert [bool(dark[top, 110 + 204 + 5]) for top in tops] == [True, True]
    assert not dark[tops[1], 110 + 5]


def test_a_grid_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        draw_grid([Section("A", [])])

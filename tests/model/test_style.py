"""Style files: what is written comes back, and nothing else is taken for one."""

import dataclasses
import hashlib
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import Style, StyleCard, StyleFormatError, load_style
from tests.model.networks import random_crops, tiny_style

CARD = StyleCard(
    description="Flat tones, inked",
    template="tight",
    crop_size_px=32,
    mask_group="face",
    licence="CC0-1.0",
    provenance="a recipe",
    metrics={"ssim": 0.5},
)


def saved(tmp_path, style: Style | None = None, name: str = "tiny.safetensors", **options):
    path = tmp_path / name
    (style or tiny_style(card=CARD)).save(path, **options)
    return path


def rewritten(path, change):
    """The same file with its header text changed by `change(header dict)`."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["ugatit_style"])
    change(header)
    save_file(load_file(path), path, {"ugatit_style": json.dumps(header)})
    return path


def test_a_saved_style_comes_back_the_same(tmp_path):
    style = tiny_style(card=CARD, num_masks=2, has_input_candidate=True, up_sampling="transposed")
    loaded = load_style(saved(tmp_path, style))
    assert (loaded.name, loaded.card, loaded.config) == ("tiny", CARD, style.config)
    assert torch.equal(loaded.generator(random_crops(1)).image, style.generator(random_crops(1)).image)
    assert not loaded.generator.training


def test_half_precision_files_are_half_as_large_and_load_as_float32(tmp_path):
    full, half = saved(tmp_path), saved(tmp_path, name="half.safetensors", dtype=torch.float16)
    loaded = load_style(half)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    assert {p.dtype for p in loaded.generator.parameters()} == {torch.float32}
    difference = loaded.generator(random_crops(1)).image - load_style(full).generator(random_crops(1)).image
    assert difference.abs().max() < 0.02


def test_the_hash_is_that_of_the_file_also_before_it_is_written(tmp_path):
    style = tiny_style(card=CARD)
    path = saved(tmp_path, style)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_style(path).sha256 == digest == style.sha256


def test_equal_styles_give_equal_files(tmp_path):
    assert saved(tmp_path).read_bytes() == saved(tmp_path, name="again.safetensors").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    style = tiny_style()
    style.generator.draw.bias.data[0] = 1e6
    with pytest.raises(StyleFormatError, match=r"'draw.bias' has weights that are not finite in torch.float16"):
        style.save(path, dtype=torch.float16)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_style_with_a_full_head_has_crops_of_its_size():
    with pytest.raises(ValueError, match="crop_size_px is 256; this generator takes 32"):
        tiny_style(card=StyleCard(crop_size_px=256), head_size=None)


def test_a_style_can_be_trained_on_after_loading(tmp_path):
    generator = load_style(saved(tmp_path)).generator.train()
    generator(random_crops(1)).image.mean().backward()
    assert generator.draw.weight.grad.abs().sum() > 0


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(StyleFormatError, match=r"'.*tiny.pt' must have a name that ends in .safetensors"):
        tiny_style().save(tmp_path / "tiny.pt")


def test_a_truncated_file_is_refused_with_its_name_and_the_next_step(tmp_path):
    path = saved(tmp_path)
    for share in (0.0, 0.001, 0.5, 0.999):
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)] if share else b"")
        with pytest.raises(StyleFormatError, match=r"tiny.safetensors' is not a usable style file.*styles import"):
            load_style(path)
        path = saved(tmp_path)


def test_files_of_other_kinds_are_refused(tmp_path):
    text = tmp_path / "text.safetensors"
    text.write_text("this is no style, but it is long enough for a header")
    huge = tmp_path / "huge.safetensors"
    huge.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    for path in (text, huge, foreign, tmp_path):
        with pytest.raises(StyleFormatError, match="is not a usable style file"):
            load_style(path)


def test_a_file_of_a_newer_format_asks_for_an_update(tmp_path):
    path = rewritten(saved(tmp_path), lambda header: header.update(format=2))
    with pytest.raises(StyleFormatError, match="format 2 is unknown to this version; update the program"):
        load_style(path)


def test_a_card_with_unknown_fields_loads_but_a_configuration_with_them_does_not(tmp_path):
    path = rewritten(saved(tmp_path), lambda header: header["card"].update(mood="calm"))
    assert load_style(path).card == CARD
    path = rewritten(path, lambda header: header["config"].update(use_transformer=True))
    with pytest.raises(StyleFormatError, match="use_transformer"):
        load_style(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["config"].update(num_blocks=2), "missing or left over"),
        (lambda h: h["config"].update(head_size=2), r"'head.hidden1.weight' is of shape \(32, 32\), .* \(32, 128\)"),
        (lambda h: h["config"].update(base_channels=10**9), "base_channels is 1000000000"),
        (lambda h: h["config"].update(base_channels="8"), "header is not understood"),
        (lambda h: h["card"].update(crop_size_px=30), "crop_size_px is 30; this generator takes multiples of 4"),
        (lambda h: h.pop("card"), "header is not understood"),
    ],
)
def test_a_header_that_does_not_fit_the_weights_is_refused(tmp_path, change, message):
    path = rewritten(saved(tmp_path), change)
    with pytest.raises(StyleFormatError, match=message):
        load_style(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path = saved(tmp_path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["draw.bias"][1] = torch.nan
    save_file(tensors, path, metadata)
    with pytest.raises(StyleFormatError, match=r"'draw.bias' holds something else than finite numbers"):
        load_style(path)


def test_a_style_with_another_card_has_another_hash(tmp_path):
    style = load_style(saved(tmp_path))
    assert dataclasses.replace(style, card=StyleCard()).sha256 != style.sha256
    assert dataclasses.replace(style).sha256 == style.sha256

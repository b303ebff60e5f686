"""Checkpoints of both reference projects import as styles that give the recorded pictures."""

import os
import pickle

import pytest
import torch

from model import GeneratorConfig, StyleFormatError, StyleNotFoundError, import_checkpoint, load_style
from model.foreign import translate_generator
from tests.oracle import Fixture, fixture_names


def written(tmp_path, content, name="selfie.pt"):
    path = tmp_path / name
    torch.save(content, path)
    return path


def foreign_state(fixture_name="g_seed_light1"):
    return Fixture(fixture_name).state()


def changed(state, factor):
    return {key: tensor * factor for key, tensor in state.items()}


@pytest.mark.parametrize("name", fixture_names("g_*"))
def test_an_imported_checkpoint_gives_the_recorded_picture(tmp_path, name):
    fixture = Fixture(name)
    path = written(tmp_path, {"genA2B": fixture.state(), "genB2A": {}, "disGA": {}})
    style = import_checkpoint(path)
    call = fixture.calls[0]
    with torch.no_grad():
        image = style.generator(fixture.tensors["in.x"]).image
    fixture.check(call["outputs"]["out"], image, fixture.tolerance("out", call))


def test_an_imported_checkpoint_still_gives_it_from_its_style_file(tmp_path):
    fixture = Fixture("g_seed_att3_input_se")
    import_checkpoint(written(tmp_path, fixture.state())).save(tmp_path / "new.safetensors")
    style = load_style(tmp_path / "new.safetensors")
    assert style.config.mixes_colours
    with torch.no_grad():
        fixture.check("eval.out.out", style.generator(fixture.tensors["in.x"]).image, 3e-5)


def test_the_averaged_generator_is_preferred_and_either_can_be_named(tmp_path):
    state = foreign_state()
    path = written(tmp_path, {"genA2B": state, "genA2B_ema": changed(state, 0.5)})
    weights = [import_checkpoint(path, network).generator.draw.bias for network in ("auto", "genA2B_ema", "genA2B")]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0] * 2, weights[2])


def test_a_bare_state_dict_is_taken(tmp_path):
    assert import_checkpoint(written(tmp_path, foreign_state())).config.base_channels == 8


def test_the_card_says_where_the_weights_come_from_and_how_to_crop(tmp_path):
    enhanced = import_checkpoint(written(tmp_path, {"genA2B_ema": foreign_state()}))
    official = import_checkpoint(written(tmp_path, {"genA2B": foreign_state("g_official_full")}))
    assert (enhanced.name, enhanced.card.template, enhanced.card.crop_size_px) == ("selfie", "tight", 256)
    assert "genA2B_ema of 'selfie.pt' (sha256 " in enhanced.card.provenance
    assert "enhanced-UGATIT" in enhanced.card.provenance
    assert (official.card.template, official.card.crop_size_px) == ("head", 32)


@pytest.mark.parametrize(
    ("side", "image_size_px", "wanted"),
    [
        (1, None, (256, 1)),
        (4, None, (256, 4)),
        (32, None, (256, 32)),
        (64, None, (256, None)),
        (128, None, (512, None)),
        (32, 128, (128, None)),
    ],
)
def test_the_head_and_the_picture_size_of_enhanced_checkpoints_are_told_by_its_inputs(side, image_size_px, wanted):
    state = foreign_state()
    state["FC.0.weight"] = torch.zeros(32, 32 * side * side)
    config, _ = translate_generator(state, image_size_px=image_size_px)
    assert (config.image_size_px, config.head_size) == wanted


def test_transposed_convolutions_are_recognised_and_computed(tmp_path):
    """No fixture has them, so the map is checked on the layout of the enhanced project: 0 deconv, 1 LIN, 2 ReLU."""
    state = foreign_state("g_seed_att3_input_se")
    renumber = {"UpBlock2.": {2: 0, 3: 1, 7: 3, 8: 4, 11: 7}, "UpBlock_attention.": {4: 2, 5: 3, 9: 5, 10: 6, 12: 8}}
    for prefix, numbers in renumber.items():
        moved = {
            key: state.pop(key) for key in list(state) if key.startswith(prefix) and int(key.split(".")[1]) in numbers
        }
        for key, tensor in moved.items():
            _, number, leaf = key.split(".")
            is_conv = tensor.ndim == 4 and tensor.shape[2] == 3
            state[f"{prefix}{numbers[int(number)]}.{leaf}"] = tensor.transpose(0, 1) if is_conv else tensor
    style = import_checkpoint(written(tmp_path, {"genA2B": state}))
    assert style.config == GeneratorConfig(
        base_channels=8,
        num_blocks=2,
        head_size=1,
        use_scse=True,
        num_masks=3,
        has_input_candidate=True,
        mixes_colours=True,
        up_sampling="transposed",
    )
    assert torch.equal(style.generator.up[1].conv.weight, state["UpBlock2.3.weight"])
    assert style.generator(torch.zeros(1, 3, 32, 32)).image.shape == (1, 3, 32, 32)


def test_an_incomplete_checkpoint_is_refused_by_the_missing_tensor(tmp_path):
    state = foreign_state()
    del state["UpBlock1_1.conv2.bias"]
    with pytest.raises(StyleFormatError, match=r"cannot import '.*selfie.pt': .*'adaptive_blocks.0.conv2.bias'"):
        import_checkpoint(written(tmp_path, state))


def test_a_checkpoint_with_a_foreign_tensor_or_shape_is_refused(tmp_path):
    with pytest.raises(StyleFormatError, match=r"unknown tensor 'UpBlock9.weight'"):
        import_checkpoint(written(tmp_path, foreign_state() | {"UpBlock9.weight": torch.zeros(1)}))
    with pytest.raises(StyleFormatError, match=r"'cam.merge.bias' is of shape \(7,\), expected \(32,\)"):
        import_checkpoint(written(tmp_path, foreign_state() | {"conv1x1.bias": torch.zeros(7)}))
    with pytest.raises(StyleFormatError, match=r"FC.0 reads 33 values, not a square map"):
        import_checkpoint(written(tmp_path, foreign_state() | {"FC.0.weight": torch.zeros(32, 33)}))
    with pytest.raises(StyleFormatError, match=r"'gamma.bias' holds numbers that are not finite"):
        import_checkpoint(written(tmp_path, foreign_state() | {"gamma.bias": torch.full((32,), torch.nan)}))


def test_a_checkpoint_without_a_generator_says_what_it_holds(tmp_path):
    path = written(tmp_path, {"state_dict": {}, "epoch": 3})
    with pytest.raises(
        StyleFormatError, match="no U-GAT-IT generator under genA2B_ema or genA2B; the file holds: epoch, state_dict"
    ):
        import_checkpoint(path)
    with pytest.raises(StyleFormatError, match="under genA2B_ema; the file holds: genA2B"):
        import_checkpoint(written(tmp_path, {"genA2B": foreign_state()}), "genA2B_ema")


class Exploit:
    """Unpickling it would make the file `pwned`."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zipped = written(tmp_path, {"genA2B": foreign_state(), "args": Exploit()})
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps({"genA2B": Exploit()}))
    for path in (zipped, plain):
        with pytest.raises(StyleFormatError, match="would have to run code"):
            import_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = written(tmp_path, {"genA2B": foreign_state()}).read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2], whole[:-1], b"PK\x03\x04" + whole[:50]):
        path = tmp_path / "damaged.pt"
        path.write_bytes(content)
        with pytest.raises(StyleFormatError, match=r"cannot import '.*damaged.pt'"):
            import_checkpoint(path)
    for content in ([1, 2], torch.zeros(3), {}):
        with pytest.raises(StyleFormatError):
            import_checkpoint(written(tmp_path, content))


def test_a_missing_checkpoint_and_a_folder_are_named(tmp_path):
    with pytest.raises(StyleNotFoundError, match=r"nowhere.pt"):
        import_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(StyleFormatError, match="it is a folder"):
        import_checkpoint(tmp_path)

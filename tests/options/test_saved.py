"""Options saved beside a checkpoint, joined with those of a command."""

import json

import pytest

import common
from options import saved as saved_options
from options.config import Config
from options.data import DATA_RECORDS
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS, NetworkSpec
from utils.errors import OptionError, UserError

RECORDS = (*NETWORK_OPTIONS, *DATA_RECORDS, DeviceOptions)


def _save(folder, **sections):
    common.save_options(str(folder), sections)
    return saved_options.load(str(folder))


def _join(saved, change_network=False, **given):
    config = Config.create(RECORDS, given)
    return saved_options.join(config, saved, change_network=change_network)


@pytest.mark.parametrize("section", ["model", "network", "anything"])
def test_what_is_not_given_is_taken_from_the_run_whatever_the_section(tmp_path, section):
    trained = NetworkSpec.of(model_variant="resnet_v1_50", output_stride=8, atrous_rates=(12, 24))
    saved = _save(tmp_path, **{section: trained})
    joined = _join(saved)
    assert joined.spec == trained
    assert joined.origin("output_stride") == f"saved:{saved.path}"
    assert joined.given == frozenset()


def test_a_run_of_version_1_0_2_is_read():
    saved = saved_options.load("docs/results/camvid")
    joined = _join(saved, dataset_dir="here", eval_crop_size=(65, 97))
    assert joined.network.model_variant == "mobilenet_v2"
    assert joined.deeplab.atrous_rates == (6, 12, 18)
    assert joined.deeplab.decoder_output_stride == (4,)
    assert joined.input.train_crop_size == (321, 321)
    assert (joined.data.dataset_dir, joined.input.eval_crop_size) == ("here", (65, 97))
    assert saved.run["num_classes"] == 11
    assert saved.values(*saved_options.TRAINING)["base_learning_rate"] == 0.02
    with open(saved.path, encoding="utf-8") as file:
        sections = json.load(file)
    values = saved.values()
    for section in ("model", "train", "data", "device"):
        for name, value in sections[section].items():
            assert values.get(name, value) == value


def test_a_run_of_version_1_0_2_is_a_deeplab():
    with pytest.raises(OptionError, match=r"--architecture=plain \(saved: deeplab\)"):
        _join(saved_options.load("docs/results/camvid"), architecture="plain")


def test_the_device_of_a_training_is_not_taken(tmp_path):
    saved = _save(tmp_path, device=DeviceOptions(device="npu"))
    assert _join(saved).device.device == "auto"


def test_without_a_file_the_flags_decide(tmp_path):
    saved = saved_options.load(str(tmp_path))
    assert not saved.exists
    assert _join(saved, output_stride=8).network.output_stride == 8


def test_a_given_flag_may_repeat_what_was_saved(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(atrous_rates=(6, 12)))
    assert _join(saved, atrous_rates=(6, 12)).deeplab.atrous_rates == (6, 12)


def test_a_contradiction_about_the_network_is_an_error_with_both_values(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(output_stride=16, atrous_rates=(6, 12)))
    with pytest.raises(OptionError) as error:
        _join(saved, output_stride=8, atrous_rates=(12, 24))
    message = str(error.value)
    assert "--output_stride=8 (saved: 16)" in message
    assert "--atrous_rates=12,24 (saved: 6,12)" in message
    assert "options.json" in message
    assert "--change_network" in message


def test_change_network_lets_given_flags_win_and_keeps_the_rest(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(output_stride=16, depth_multiplier=0.5))
    joined = _join(saved, change_network=True, output_stride=8)
    assert joined.network.output_stride == 8
    assert joined.network.depth_multiplier == 0.5


def test_only_resizing_belongs_to_the_network_among_the_data(tmp_path):
    saved = _save(
        tmp_path,
        data={"dataset_dir": "there", "eval_crop_size": [65, 97], "min_resize_value": None},
    )
    joined = _join(saved, dataset_dir="here")
    assert joined.data.dataset_dir == "here"
    assert joined.input.eval_crop_size == (65, 97)
    with pytest.raises(OptionError, match=r"--min_resize_value=33 \(saved: unset\)"):
        _join(saved, min_resize_value=33)


def test_options_of_an_older_run_that_lack_a_name_leave_it_to_the_flag(tmp_path):
    values = NetworkSpec.of().to_dict()
    del values["decoder_filters"]
    saved = _save(tmp_path, model=values)
    assert _join(saved, decoder_filters=48).deeplab.decoder_filters == 48


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"model": 3})])
def test_a_damaged_file_is_a_sentence(tmp_path, content):
    (tmp_path / "options.json").write_text(content)
    with pytest.raises(UserError, match=r"options\.json"):
        saved_options.load(str(tmp_path))


def test_an_unknown_saved_option_is_named(tmp_path):
    saved = _save(tmp_path, model={"model_varnat": "x"})
    with pytest.raises(OptionError, match="model_varnat"):
        _join(saved)


def test_options_that_exist_no_more_are_accepted_at_their_old_default_only(tmp_path):
    saved = _save(tmp_path, model={"nas_remove_os32_stride": False}, data={"shard": True})
    assert _join(saved).spec == NetworkSpec.of()
    saved = _save(tmp_path, model={"nas_remove_os32_stride": True})
    with pytest.raises(OptionError, match="--nas_remove_os32_stride=True"):
        _join(saved)

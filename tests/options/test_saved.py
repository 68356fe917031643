"""Options saved beside a checkpoint, joined with flags."""

import json

import pytest

import common
from options import saved as saved_options
from options.data import DataOptions
from options.network import NetworkSpec
from utils.errors import OptionError, UserError


def _save(folder, **sections):
    common.save_options(str(folder), sections)
    return saved_options.load(str(folder))


def _join_model(saved, given=(), change_network=False, **flags):
    return saved_options.join(
        NetworkSpec.of(**flags),
        saved,
        "model",
        given=frozenset(given),
        change_network=change_network,
    )


def test_what_is_not_given_is_taken_from_the_run(tmp_path):
    trained = NetworkSpec.of(model_variant="resnet_v1_50", output_stride=8, atrous_rates=(12, 24))
    saved = _save(tmp_path, model=trained)
    assert _join_model(saved) == trained


def test_without_a_file_the_flags_decide(tmp_path):
    saved = saved_options.load(str(tmp_path))
    assert _join_model(saved, given=["output_stride"], output_stride=8).options.output_stride == 8


def test_a_given_flag_may_repeat_what_was_saved(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(atrous_rates=(6, 12)))
    joined = _join_model(saved, given=["atrous_rates"], atrous_rates=(6, 12))
    assert joined.architecture.atrous_rates == (6, 12)


def test_a_contradiction_about_the_network_is_an_error_with_both_values(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(output_stride=16, atrous_rates=(6, 12)))
    with pytest.raises(OptionError) as error:
        _join_model(
            saved, given=["output_stride", "atrous_rates"], output_stride=8, atrous_rates=(12, 24)
        )
    message = str(error.value)
    assert "--output_stride=8 (saved: 16)" in message
    assert "--atrous_rates=12,24 (saved: 6,12)" in message
    assert "options.json" in message
    assert "--change_network" in message


def test_change_network_lets_given_flags_win_and_keeps_the_rest(tmp_path):
    saved = _save(tmp_path, model=NetworkSpec.of(output_stride=16, depth_multiplier=0.5))
    joined = _join_model(saved, given=["output_stride"], change_network=True, output_stride=8)
    assert joined.options.output_stride == 8
    assert joined.options.depth_multiplier == 0.5


def test_only_resizing_belongs_to_the_network_among_the_data(tmp_path):
    saved = _save(tmp_path, data=DataOptions(dataset_dir="there", eval_crop_size=(65, 97)))

    def join(given, **flags):
        return saved_options.join(
            DataOptions(**flags),
            saved,
            "data",
            given=frozenset(given),
            of_the_network=saved_options.DATA_OF_THE_NETWORK,
        )

    joined = join(["dataset_dir"], dataset_dir="here")
    assert joined.dataset_dir == "here"
    assert joined.eval_crop_size == (65, 97)
    with pytest.raises(OptionError, match=r"--min_resize_value=33 \(saved: unset\)"):
        join(["min_resize_value"], min_resize_value=33)


def test_options_of_an_older_run_that_lack_a_name_leave_it_to_the_flag(tmp_path):
    values = NetworkSpec.of().to_dict()
    del values["decoder_filters"]
    saved = _save(tmp_path, model=values)
    assert (
        _join_model(
            saved, given=["decoder_filters"], decoder_filters=48
        ).architecture.decoder_filters
        == 48
    )


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"model": 3})])
def test_a_damaged_file_is_a_sentence(tmp_path, content):
    (tmp_path / "options.json").write_text(content)
    with pytest.raises(UserError, match=r"options\.json"):
        saved_options.load(str(tmp_path))


def test_an_unknown_saved_option_is_named(tmp_path):
    saved = _save(tmp_path, model={"model_varnat": "x"})
    with pytest.raises(OptionError, match="model_varnat"):
        _join_model(saved)

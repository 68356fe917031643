"""All options of a command as one object."""

import json

import pytest

from options.config import Config
from options.data import DATA_RECORDS
from options.loss import LossOptions
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS, TrainOptions
from utils.errors import OptionError

RECORDS = (*NETWORK_OPTIONS, *TRAINING_RECORDS, *DATA_RECORDS)


def test_records_are_attributes_and_origins_say_what_was_given():
    config = Config.create(
        RECORDS,
        {"seed": 3, "output_stride": 8, "weight_decay": 4e-5},
        {"seed": "flag", "output_stride": "file:a.flags"},
    )
    assert (config.train.seed, config.network.output_stride) == (3, 8)
    assert config.given == {"seed", "output_stride"}
    assert config.origin("output_stride") == "file:a.flags"
    assert config.origin("weight_decay") == "default"
    with pytest.raises(AttributeError, match="export"):
        config.export  # noqa: B018


def test_a_config_survives_json():
    config = Config.create(RECORDS, {"atrous_rates": [6, 12], "eval_crop_size": ["auto"]})
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(OptionError, match="modle"):
        Config.from_dict({"modle": {}})


def test_other_values_keep_the_rest_and_carry_their_origin():
    config = Config.create(RECORDS, {"seed": 3})
    changed = config.with_values({"seed": 4, "log_steps": 2}, "saved:options.json")
    assert (changed.train.seed, changed.train.log_steps) == (4, 2)
    assert changed.given == frozenset()
    assert config.train.seed == 3
    assert config.replace(train=TrainOptions(seed=9)).train.seed == 9
    for values in ({"sede": 4}, {"seed": -1}):
        with pytest.raises(OptionError, match=next(iter(values))):
            config.with_values(values, "flag")
    with pytest.raises(ValueError, match="export"):
        config.replace(export=None)


def test_two_configs_are_compared_by_option():
    one = Config.create(RECORDS, {"seed": 3, "output_stride": 8})
    other = Config.create((*NETWORK_OPTIONS, *TRAINING_RECORDS), {"seed": 3, "log_steps": 5})
    assert one.difference(other) == {"output_stride": (8, 16), "log_steps": (10, 5)}
    assert one.difference(one) == {}


def test_options_of_different_records_may_not_contradict_each_other():
    with pytest.raises(OptionError, match="--slow_start_step=30000"):
        Config.create(RECORDS, {"slow_start_step": 30000})
    with pytest.raises(OptionError, match="--decoder_output_stride is 16"):
        Config.create(RECORDS, {"decoder_output_stride": (16,)})


def test_no_option_stands_in_two_records():
    with pytest.raises(ValueError, match="seed"):
        Config({"train": TrainOptions(), "again": TrainOptions()})


def test_what_a_continued_run_is_held_to():
    held = Config.create(RECORDS, {}).held()
    assert {"weight_decay", "output_stride", "train_crop_size"} <= set(held)
    assert not {"log_steps", "training_number_of_steps"} & set(held)


def test_weights_of_classes_that_are_all_zero_are_refused():
    with pytest.raises(OptionError, match="all 2 --label_weights are 0"):
        Config.create((LossOptions,), {"label_weights": (0.0, 0.0)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_logdir": ""}, "--train_logdir is empty"),
        ({"train_batch_size": 10**20}, "--train_batch_size is 1000.*at most 65536"),
        ({"train_crop_size": (100_000, 100_000)}, "--train_crop_size is 100000.*at most 16384"),
    ],
)
def test_values_that_no_machine_can_take_are_refused(values, message):
    with pytest.raises(OptionError, match=message):
        Config.create(RECORDS, values)

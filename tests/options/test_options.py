import dataclasses

import pytest

from options.augmentation import AugmentationOptions
from options.config import Config
from options.data import DATA_RECORDS, InputOptions, RecordsOptions
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.export import ExportOptions
from options.inference import WindowOptions
from options.loss import LossOptions
from options.network import NETWORK_OPTIONS, NetworkSpec
from options.optimizer import OptimizerOptions
from options.prediction import PredictOptions, VisOptions
from options.refused import RefusedOptions
from options.schedule import ScheduleOptions
from options.training import TRAINING_RECORDS, TrainOptions
from tests import resources
from tests.options.flags_of import accepted_flags
from utils.errors import OptionError

RECORDS = (
    *(*NETWORK_OPTIONS, RefusedOptions, *TRAINING_RECORDS, EvalOptions, PredictOptions, VisOptions),
    *(ExportOptions, *DATA_RECORDS, DeviceOptions),
)
FIELDS = [
    pytest.param(record, field, id=f"{record.__name__}.{field.name}")
    for record in RECORDS
    for field in dataclasses.fields(record)
]


@pytest.mark.parametrize("record", RECORDS)
def test_defaults_are_accepted(record):
    assert record.from_dict(record().to_dict()) == record()


@pytest.mark.parametrize(("record", "field"), FIELDS)
def test_an_options_help_is_a_sentence(record, field):
    text = field.metadata["help"]
    assert text[0].isupper() or text.startswith("L2"), text
    assert text.endswith("."), text


def _kind(flag):
    """Returns a flag's type in golden's words; a string with choices counts as an enum there."""
    return "string" if flag.flag_type() == "string enum" else flag.flag_type()


def test_train_npu_has_every_flag_of_the_reference_with_its_type_and_default():
    reference = resources.golden_json("flags.json")["entries"]["train_npu (train and evaluate)"]
    both = accepted_flags("train"), accepted_flags("evaluate")
    ours = {name: flags_[name] for flags_ in both for name in flags_}
    found = {
        name: (_kind(ours[name]), ours[name].default) if name in ours else "missing"
        for name in reference
    }
    expected = {
        name: ("string" if flag["type"] == "string enum" else flag["type"], flag["default"])
        for name, flag in reference.items()
    }
    differing = {name: found[name] for name in reference if found[name] != expected[name]}
    assert differing == {}


def test_train_npu_allows_the_values_of_the_reference():
    reference = resources.golden_json("flags.json")["entries"]["train_npu (train and evaluate)"]
    fields = {field.name: field for record in RECORDS for field in dataclasses.fields(record)}
    for name, flag in reference.items():
        if "values" in flag:
            assert set(flag["values"]) <= set(fields[name].metadata["choices"]), name


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (
            NetworkSpec.of,
            {"output_stride": 12},
            "--output_stride is 12, but must be one of 4, 8, 16",
        ),
        (NetworkSpec.of, {"nas_remove_os32_stride": True}, "--nas_remove_os32_stride=True"),
        (NetworkSpec.of, {"quantize_delay_step": 0}, "--quantize_delay_step=0"),
        (NetworkSpec.of, {"decoder_output_stride": (4, 8)}, "is 4,8, but must descend"),
        (NetworkSpec.of, {"decoder_output_stride": (16,)}, "below --output_stride=16"),
        (NetworkSpec.of, {"decoder_output_is_logits": True}, "needs --decoder_output_stride"),
        (NetworkSpec.of, {"image_pooling_crop_size": "513"}, "has 1 values, but needs 2"),
        (TrainOptions, {"ema_decay": 1.0}, "--ema_decay is 1, but must be below 1"),
        (TrainOptions, {"freeze": ("block[1",)}, "--freeze=block[1"),
        (OptimizerOptions, {"optimizer": "lion"}, "must be one of momentum, adam, adamw, sgd"),
        (ScheduleOptions, {"learning_policy": "linear"}, "must be one of poly, step, cosine"),
        (LossOptions, {"top_k_percent_pixels": 0.0}, "must be above 0.0"),
        (LossOptions, {"top_k_percent_pixels": 25.0}, "must be at most 1.0"),
        (EvalOptions, {"eval_scales": [1.0, 0.0]}, "--eval_scales is 0.0"),
        (WindowOptions, {"window_grid": 2, "max_pixels": 9}, "--window_grid"),
        (EvalOptions, {"checkpoint": "last"}, "must be newest, best, all or a step"),
        (PredictOptions, {"checkpoint": "all"}, "must be newest, best or a step"),
        (VisOptions, {"checkpoint_path": ["a"], "checkpoint_dir": "b"}, "both are given"),
        (ExportOptions, {"checkpoint_path": "a", "checkpoint": "9"}, "names one; leave one of"),
        (
            VisOptions,
            {"checkpoint": "best", "max_number_of_iterations": 2},
            "--max_number_of_iterations=2 ",
        ),
        (AugmentationOptions, {"min_scale_factor": 3.0}, "is above --max_scale_factor=2.0"),
        (InputOptions, {"min_resize_value": 9, "max_resize_value": 8}, "--max_resize_value=8"),
        (RecordsOptions, {"ignore_label": 256}, "--ignore_label is 256, but must be at most 255"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(record, values, message):
    with pytest.raises(OptionError) as error:
        record(**values)
    assert message in str(error.value)


def test_a_slow_start_as_long_as_the_training_is_refused():
    with pytest.raises(OptionError, match="--slow_start_step=30000.*=30000"):
        Config.create(TRAINING_RECORDS, {"slow_start_step": 30000})

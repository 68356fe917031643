"""Learning rates and momentum by step."""

import fractions
import re

import numpy as np
import pytest

from core.training import rates
from options.schedule import LEARNING_POLICIES
from options.segments import SEGMENT_SHAPES
from tests.golden import schedules as golden_schedules
from tests.golden.hardnet import schedules as pytorch
from tests.resources import golden_json
from tests.small_steps import config_of
from utils.compat import tf
from utils.errors import OptionError

# What each policy needs beside its name.
NEEDED = {
    "multi_step": {"multi_step_milestones": (3, 7)},
    "cosine_restarts": {"cosine_steps": 3, "cosine_multiplier": 2},
    "cyclic": {"cyclic_maximum_learning_rate": 0.5, "cyclic_steps_up": 3},
    "segments": {"learning_rate_segment": ("linear:0.1:0.2:4", "cos-::0.01:0.4epochs")},
}


def table(steps, steps_per_epoch=None, **options):
    return golden_schedules.table(options, steps, steps_per_epoch)


def rates_at(steps, steps_per_epoch=None, **options):
    return table(steps, steps_per_epoch, **options)[:, 0]


def rate_at(step, **options):
    return rates_at([step], **options)[0]


def test_all_schedules_equal_the_reference():
    manifest = golden_json("schedules.json")
    actual = golden_schedules.recompute(manifest, None)
    expected = golden_schedules.stored(manifest)
    assert len(expected) == 16
    for index, case in enumerate(manifest["cases"]):
        name = f"case{index}"
        is_smooth = case["args"]["learning_policy"] in ("poly", "cosine")
        relative, absolute = (1e-5, 2e-9) if is_smooth else (1e-6, 0.0)
        allowed = np.maximum(relative * expected[name], absolute)
        assert np.all(np.abs(actual[name] - expected[name]) <= allowed), name


def test_what_the_reference_refuses_is_refused():
    manifest = golden_json("schedules.json")
    assert manifest["errors"]
    for error in manifest["errors"]:
        arguments = dict(manifest["cases"][0]["args"], **error["change"])
        with pytest.raises(OptionError):
            golden_schedules.rates(arguments, [0])


def test_schedules_equal_those_of_pytorch():
    cases = [
        (item["case"], item["rows"])
        for item in golden_json("hardnet/schedules.json")["cases"]
        # Of what the validation finds, so no function of the step.
        if not item["case"]["class"].endswith("ReduceLROnPlateau")
    ]
    assert len(cases) == 25
    for case, rows in cases:
        expected = np.array(rows)
        optimizer = {"sgd": "momentum"}.get(case["optimizer"], case["optimizer"])
        found = pytorch.table(
            case["class"],
            expected[:, 0].astype(int),
            case["lr"],
            case["params"],
            optimizer=optimizer,
            adam_learning_rate=0.0,
        )[:, : expected.shape[1] - 1]
        # float32 of a rate is off by up to 6e-8 of it, and so is the peak that it falls from.
        np.testing.assert_allclose(
            found, expected[:, 1:], rtol=1e-6, atol=1e-12, err_msg=case["name"]
        )


def test_schedules_equal_those_of_the_abeja_template():
    for item in golden_json("abeja/schedules.json")["cases"]:
        expected = np.array(item["rows"])
        for group, base in enumerate(item["case"]["lr"]):
            found = rates_at(
                expected[:, 0].astype(int),
                base_learning_rate=base,
                training_number_of_steps=item["case"]["params"]["total"],
            )
            np.testing.assert_allclose(found, expected[:, 1 + group], rtol=1e-6, atol=1e-12)


def test_cycles_equal_those_of_the_musket_pipeline():
    cases = golden_json("musket/callbacks.json")["cyclic"]
    assert cases
    for case in cases:
        arguments = {
            "base_lr": 0.001,
            "max_lr": 0.006,
            "step_size": 2000,
            "mode": "triangular",
            "gamma": 1.0,
            **case["arguments"],
        }
        found = rates_at(
            range(len(case["lr_used"])),
            learning_policy="cyclic",
            base_learning_rate=arguments["base_lr"],
            cyclic_maximum_learning_rate=arguments["max_lr"],
            cyclic_steps_up=arguments["step_size"],
            cyclic_mode=arguments["mode"],
            cyclic_factor=arguments["gamma"],
        )
        np.testing.assert_allclose(found, case["lr_used"], rtol=1e-6, err_msg=str(arguments))


def variator(arguments, base):
    """Returns the options for the arguments of an LRVariator, and of what follows it."""
    segments, current = [], arguments
    while current:
        style = current.get("style", "linear")
        shape = {"sin": "sin+", "cos": "cos-"}.get(style, style)
        size = current.get("absSize") or f"{current['relSize']}epochs"
        start = current.get("fromVal", "")
        segments.append(f"{shape}:{start}:{current.get('toVal', 0.006)}:{size}")
        current = current.get("then", {}).get("LRVariator")
    period = arguments.get("periodSteps")
    if "periodEpochs" in arguments:
        period = f"{arguments['periodEpochs']}epochs"
    return {
        "learning_policy": "segments",
        "base_learning_rate": base,
        "learning_rate_segment": tuple(segments),
        "learning_rate_period": period if period is None else str(period),
    }


def test_segments_equal_those_of_the_musket_pipeline():
    cases = [
        case
        for case in golden_json("musket/callbacks.json")["variator"]
        if "ReduceLROnPlateau" not in case["arguments"].get("then", {})
    ]
    assert len(cases) == 21
    for case in cases:
        # The pipeline sets the rate after a step, so the first step has the optimizer's own.
        used = case["lr_used"][1:]
        found = rates_at(
            range(len(used)),
            case["steps_per_epoch"],
            **variator(case["arguments"], case["initial_lr"]),
        )
        np.testing.assert_allclose(found, used, rtol=1e-6, err_msg=str(case["arguments"]))


def test_what_the_musket_pipeline_refuses_of_a_style_is_refused():
    errors = golden_json("musket/callbacks.json")["variator_errors"]
    styles = [error["arguments"] for error in errors if "style" in error["arguments"]]
    assert len(styles) == 3
    for arguments in styles:
        with pytest.raises(OptionError, match="is no shape; it must be one of const, linear"):
            config_of(**variator(arguments, 0.1))


def test_poly_has_its_digits_at_the_end_of_a_long_training():
    steps = 10_000_000
    found = rate_at(
        steps - 1, training_number_of_steps=steps, base_learning_rate=1.0, learning_power=1.0
    )
    assert found == pytest.approx(1e-7, rel=1e-6)


def test_poly_falls_from_the_base_to_zero_and_stays_there():
    settings = {"base_learning_rate": 0.01, "training_number_of_steps": 100}
    assert rate_at(0, **settings) == pytest.approx(0.01)
    assert rate_at(50, **settings) == pytest.approx(0.01 * 0.5**0.9)
    assert rate_at(100, **settings) == rate_at(150, **settings) == 0.0


def test_decay_steps_end_poly_before_training_ends():
    settings = {"training_number_of_steps": 100, "decay_steps": 50.0, "end_learning_rate": 1e-5}
    assert rate_at(50, **settings) == pytest.approx(1e-5)
    assert rate_at(100, **settings) == pytest.approx(1e-5)


def test_step_policy_falls_at_every_multiple():
    settings = {
        "learning_policy": "step",
        "base_learning_rate": 1.0,
        "learning_rate_decay_step": 10,
        "learning_rate_decay_factor": 0.5,
    }
    assert rates_at((0, 9, 10, 19, 20), **settings) == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25])


def test_exponential_falls_by_the_factor_over_its_steps_without_jumps():
    settings = {
        "learning_policy": "exponential",
        "base_learning_rate": 1.0,
        "learning_rate_decay_step": 10,
        "learning_rate_decay_factor": 0.5,
    }
    expected = [0.5 ** (step / 10) for step in (0, 5, 10, 25, 12345)]
    assert rates_at((0, 5, 10, 25, 12345), **settings) == pytest.approx(expected, rel=1e-6)


def test_cosine_is_half_way_down_at_half_time_and_ends_at_zero():
    settings = {"learning_policy": "cosine", "training_number_of_steps": 100}
    found = rates_at((50, 100, 150), base_learning_rate=0.4, **settings)
    assert found == pytest.approx([0.2, 0.0, 0.0])


def test_one_cycle_stays_at_its_end_and_needs_no_second_step():
    settings = {"learning_policy": "one_cycle", "base_learning_rate": 0.1}
    end = 0.1 / 25.0 / 1e4
    found = rates_at((9, 20), training_number_of_steps=10, **settings)
    assert found == pytest.approx([end, end], rel=1e-6)
    assert rates_at((0,), training_number_of_steps=1, **settings) == pytest.approx([end], rel=1e-6)
    found = rates_at(range(3), training_number_of_steps=3, one_cycle_rising_share=1.0, **settings)
    assert found == pytest.approx([0.004, 0.052, 0.1])


def test_the_momentum_moves_against_the_rate_unless_it_is_told_not_to():
    settings = {"learning_policy": "cyclic", **NEEDED["cyclic"]}
    found = table((0, 3, 6), cycle_momentum_minimum=0.5, **settings)
    assert found[:, 1] == pytest.approx([0.9, 0.5, 0.9])
    found = table((0, 3), cycle_momentum=False, momentum=0.7, **settings)
    assert found[:, 1] == pytest.approx([0.7, 0.7])
    assert rates.momentum(config_of(optimizer="sgd", **settings), tf.constant(0)) is None
    assert rates.momentum(config_of(learning_policy="cosine"), tf.constant(0)) is None


def test_slow_start_keeps_its_rate_and_shifts_the_policy():
    settings = {
        "base_learning_rate": 0.01,
        "slow_start_step": 10,
        "slow_start_learning_rate": 1e-4,
        "training_number_of_steps": 110,
    }
    expected = [1e-4, 0.01, 0.01 * 0.5**0.9]
    assert rates_at((9, 10, 60), **settings) == pytest.approx(expected)


def test_a_linear_slow_start_ends_at_the_base_rate():
    settings = {
        "base_learning_rate": 0.01,
        "slow_start_step": 10,
        "slow_start_learning_rate": 0.002,
        "slow_start_shape": "linear",
        "training_number_of_steps": 110,
    }
    assert rates_at((0, 5, 10), **settings) == pytest.approx([0.002, 0.006, 0.01])


def test_in_epochs_the_rate_changes_between_epochs_only():
    settings = {
        "learning_rate_unit": "epoch",
        "base_learning_rate": 1.0,
        "learning_power": 1.0,
        # Four epochs of two and a half steps.
        "training_number_of_steps": 10,
    }
    found = rates_at(range(11), fractions.Fraction(5, 2), **settings)
    assert found == pytest.approx([1, 1, 1, 0.75, 0.75, 0.5, 0.5, 0.5, 0.25, 0.25, 0.0])
    settings.update(learning_policy="multi_step", multi_step_milestones=(2,))
    assert rates_at((4, 5), 2.5, **settings) == pytest.approx([1.0, 0.1])
    settings.update(slow_start_step=1, slow_start_learning_rate=0.5)
    assert rates_at((2, 3, 7, 8), 2.5, **settings) == pytest.approx([0.5, 1.0, 1.0, 0.1])


@pytest.mark.parametrize(
    ("steps", "steps_per_epoch", "at", "expected"),
    [
        # 2.8 epochs are three, at whose first end two thirds are left.
        (7, 2.5, 3, 2 / 3),
        # The steps of 20 epochs, the last one completed: 20.1 epochs.
        (67, fractions.Fraction(10, 3), 34, 0.5),
        (1, 10, 0, 1.0),
    ],
)
def test_a_part_of_an_epoch_is_rounded(steps, steps_per_epoch, at, expected):
    found = rates_at(
        [at],
        steps_per_epoch,
        learning_rate_unit="epoch",
        base_learning_rate=1.0,
        learning_power=1.0,
        training_number_of_steps=steps,
    )
    assert found == pytest.approx([expected])


def test_a_slow_start_of_all_epochs_is_refused():
    with pytest.raises(OptionError, match="--slow_start_step=4 must be below .* 4 epochs"):
        rates_at(
            (0,), 5, learning_rate_unit="epoch", slow_start_step=4, training_number_of_steps=20
        )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "momentum"])
def test_the_other_optimizers_have_the_schedule(optimizer):
    settings = {"base_learning_rate": 0.05, "training_number_of_steps": 4}
    rate = rate_at(1, optimizer=optimizer, **settings)
    assert rate == pytest.approx(0.05 * 0.75**0.9)


def test_adam_has_its_own_constant_rate_unless_it_is_zero():
    settings = {"optimizer": "adam", "base_learning_rate": 0.5, "learning_policy": "constant"}
    found = rates_at((0, 20000), adam_learning_rate=0.003, **settings)
    assert found == pytest.approx([0.003, 0.003])
    assert rate_at(0, adam_learning_rate=0.0, **settings) == 0.5


@pytest.mark.once
def test_the_flag_names_every_policy():
    assert set(rates.POLICIES) == set(LEARNING_POLICIES)


@pytest.mark.once
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_policy": "multi_step"}, "needs --multi_step_milestones"),
        ({"learning_policy": "multi_step", "multi_step_milestones": (5, 5)}, "5,5 must rise"),
        (
            {
                "learning_policy": "multi_step",
                "multi_step_milestones": (5,),
                "multi_step_learning_rates": (0.1,),
            },
            "has 1 values, but 1 milestones need 2",
        ),
        ({"learning_policy": "cosine_restarts"}, "needs --cosine_steps"),
        ({"learning_policy": "cyclic"}, "needs --cyclic_maximum_learning_rate"),
        (
            {
                "learning_policy": "cyclic",
                "cyclic_maximum_learning_rate": 0.1,
                "base_learning_rate": 0.2,
            },
            "=0.1 is below --base_learning_rate=0.2",
        ),
        (
            {"learning_policy": "one_cycle", "cycle_momentum_minimum": 0.96},
            "=0.96 is above --cycle_momentum_maximum=0.95",
        ),
        ({"learning_policy": "segments"}, "needs --learning_rate_segment"),
        ({"learning_rate_segment": "linear:0.1:4"}, "has 3 parts"),
        ({"learning_rate_segment": "linear:x:0.1:4"}, "'x' is no learning rate"),
        ({"learning_rate_segment": "linear:0.1::4"}, "'' is no learning rate"),
        ({"learning_rate_segment": "linear::0.1:4.5"}, "'4.5' is no length"),
        ({"learning_rate_segment": "linear::0.1:0epochs"}, "'0epochs' is no length"),
        ({"learning_rate_segment": "nan::0.1:4"}, "'nan' is no shape"),
        (
            {"learning_rate_segment": "linear::0.1:4", "learning_rate_period": "-1"},
            "--learning_rate_period=-1: '-1' is no length",
        ),
        (
            {"learning_rate_segment": "linear::0.1:4epochs", "learning_rate_unit": "epoch"},
            "all lengths of segments are epochs",
        ),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(values, message):
    if "learning_rate_segment" in values:
        segments = (values["learning_rate_segment"],)
        values = {**values, "learning_rate_segment": segments, "learning_policy": "segments"}
    with pytest.raises(OptionError, match=re.escape(message)):
        config_of(**values)


@pytest.mark.parametrize("policy", LEARNING_POLICIES)
def test_schedules_change_inside_a_loop_on_the_device(policy):
    options = config_of(
        learning_policy=policy,
        base_learning_rate=0.1,
        training_number_of_steps=10,
        learning_rate_decay_step=3,
        slow_start_step=2,
        slow_start_learning_rate=1e-5,
        **NEEDED.get(policy, {}),
    )

    def body(step, values):
        rate = rates.learning_rate(options, step, 10)
        return step + 1, values.write(tf.cast(step, tf.int32), rate)

    _, values = tf.while_loop(
        lambda step, values: step < 10,
        body,
        [tf.constant(0, tf.int64), tf.TensorArray(tf.float32, 10)],
    )
    with tf.Session() as session:
        inside = session.run(values.stack())
    outside = golden_schedules.table(options, range(10), 10)[:, 0]
    np.testing.assert_allclose(inside, outside, rtol=1e-6, atol=1e-12)
    assert len(set(outside)) > (1 if policy == "constant" else 2)


@pytest.mark.parametrize("policy", LEARNING_POLICIES)
def test_schedules_need_neither_float64_nor_python(policy):
    settings = dict(NEEDED.get(policy, {}))
    if policy == "segments":
        settings["learning_rate_segment"] = [f"{shape}::0.1:4" for shape in SEGMENT_SHAPES]
    config = config_of(learning_policy=policy, base_learning_rate=0.1, **settings)
    step = tf.constant(0, tf.int64)
    rates.learning_rate(config, step)
    rates.momentum(config, step)
    operations = tf.get_default_graph().get_operations()
    assert not [op for op in operations for tensor in op.outputs if tensor.dtype == tf.float64]
    assert not [op for op in operations if "PyFunc" in op.type]

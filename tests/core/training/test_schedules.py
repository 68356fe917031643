"""Learning rates by step."""

import numpy as np
import pytest

from core.training import schedules
from options.optimization import LEARNING_POLICIES
from tests.golden import schedules as golden_schedules
from tests.resources import golden_json
from tests.small_steps import config_of
from utils.compat import tf
from utils.errors import OptionError


def rate_at(step, **options):
    global_step = tf.constant(step, tf.int64)
    with tf.Session() as session:
        return session.run(schedules.learning_rate(config_of(**options), global_step))


def test_all_schedules_equal_the_reference():
    manifest = golden_json("schedules.json")
    actual = golden_schedules.recompute(manifest, None)
    expected = golden_schedules.stored(manifest)
    assert len(expected) == 13
    cases = {f"case{index}": case for index, case in enumerate(manifest["cases"])}
    assert [name for name in cases if name not in expected] == ["case7", "case14", "case15"]
    for name in expected:
        case = cases[name]
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
    rates = [rate_at(step, **settings) for step in (0, 9, 10, 19, 20)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25])


def test_cosine_is_half_way_down_at_half_time():
    settings = {"learning_policy": "cosine", "training_number_of_steps": 100}
    assert rate_at(50, base_learning_rate=0.4, **settings) == pytest.approx(0.2)


def test_slow_start_keeps_its_rate_and_shifts_the_policy():
    settings = {
        "base_learning_rate": 0.01,
        "slow_start_step": 10,
        "slow_start_learning_rate": 1e-4,
        "training_number_of_steps": 110,
    }
    assert rate_at(9, **settings) == pytest.approx(1e-4)
    assert rate_at(10, **settings) == pytest.approx(0.01)
    assert rate_at(60, **settings) == pytest.approx(0.01 * 0.5**0.9)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "momentum"])
def test_the_other_optimizers_have_the_schedule(optimizer):
    settings = {"base_learning_rate": 0.05, "training_number_of_steps": 4}
    rate = rate_at(1, optimizer=optimizer, **settings)
    assert rate == pytest.approx(0.05 * 0.75**0.9)


def test_adam_has_its_own_constant_rate():
    settings = {"optimizer": "adam", "adam_learning_rate": 0.003, "base_learning_rate": 0.5}
    assert rate_at(0, **settings) == rate_at(20000, **settings) == pytest.approx(0.003)


def test_the_flag_names_every_policy():
    assert tuple(schedules.POLICIES) == LEARNING_POLICIES


@pytest.mark.parametrize("policy", LEARNING_POLICIES)
def test_schedules_change_inside_a_loop_on_the_device(policy):
    options = config_of(
        learning_policy=policy,
        training_number_of_steps=10,
        learning_rate_decay_step=3,
        slow_start_step=2,
        slow_start_learning_rate=1e-5,
    )

    def body(step, rates):
        return step + 1, rates.write(
            tf.cast(step, tf.int32), schedules.learning_rate(options, step)
        )

    _, rates = tf.while_loop(
        lambda step, rates: step < 10,
        body,
        [tf.constant(0, tf.int64), tf.TensorArray(tf.float32, 10)],
    )
    outside = [schedules.learning_rate(options, tf.constant(step, tf.int64)) for step in range(10)]
    with tf.Session() as session:
        inside_values, outside_values = session.run([rates.stack(), outside])
    np.testing.assert_allclose(inside_values, outside_values, rtol=1e-6, atol=1e-12)


def test_schedules_need_neither_float64_nor_python():
    for policy in ("poly", "step", "cosine"):
        schedules.learning_rate(config_of(learning_policy=policy), tf.constant(0, tf.int64))
    operations = tf.get_default_graph().get_operations()
    assert not [op for op in operations for tensor in op.outputs if tensor.dtype == tf.float64]
    assert not [op for op in operations if "PyFunc" in op.type]

"""Steps that are not finite: how they are recorded and explained."""

import numpy as np
import pytest

from core.training import nonfinite
from core.training.step import TrainStep
from utils.compat import tf


def recorded(gradient_norm, steps=1, excused=()):
    """Returns what is recorded over steps with these gradient norms, one after the other."""
    global_step = tf.train.get_or_create_global_step()
    norms = tf.constant(np.float32(gradient_norm))
    values = {name: tf.constant(0.5) for name in nonfinite.REPORTED}
    values["gradient_norm"] = norms[global_step]
    bad_step = nonfinite.record_bad_step(global_step, values, excused=excused)
    with tf.control_dependencies([bad_step.number]):
        advance = tf.assign_add(global_step, 1)
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(steps):
            result = session.run([bad_step, advance])[0]
    return result


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_bad_step_is_kept_with_its_values(bad):
    result = recorded([1.0, bad, np.inf, 2.0], steps=4)
    assert result.number == 2
    np.testing.assert_equal(result.values["gradient_norm"], np.float32(bad))
    assert result.values["loss"] == np.float32(0.5)


def test_the_largest_float_is_finite():
    assert recorded([np.finfo(np.float32).max]).number == 0


def test_an_overflow_is_excused_where_the_optimizer_skips_it_itself():
    assert recorded([np.inf], excused=("gradient_norm",)).number == 0


def explanation(images, weight=1.0, alone=True):
    """Returns the explanation of the loss mean(sqrt(weight * images - 1))."""
    given = tf.placeholder(tf.float32, [2, 1, 1, 1])
    variable = tf.get_variable("layer/weights", initializer=tf.constant(weight))
    loss = tf.reduce_mean(tf.sqrt(tf.subtract(given * variable, 1.0), name="root"), name="mean")
    step = TrainStep(
        train_op=None,
        global_step=None,
        learning_rate=None,
        loss=loss,
        reg_loss=None,
        total_loss=loss + 0.0,
        images=given,
        labels=tf.placeholder(tf.int32, [2, 1, 1, 1]),
        logits=None,
        gradients=[(tf.gradients(loss, variable)[0], variable)],
        gradient_norm=None,
        bad_step=None,
    )
    batch = {
        "image": np.float32(images).reshape([2, 1, 1, 1]),
        "label": np.zeros([2, 1, 1, 1], np.int32),
        "name": np.array([b"first", b"second"]),
    }
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return nonfinite.describe([nonfinite.diagnose(session, step, batch, alone=alone)])


def test_the_first_operation_with_a_nonfinite_result_is_named():
    text = explanation([2.0, 0.5])
    assert "first, second" in text
    assert "root:0 (Sqrt, 2x1x1x1)" in text


def test_images_that_are_not_finite_are_named_as_such():
    assert "the images themselves are not finite" in explanation([2.0, np.nan])


def test_a_variable_that_was_bad_before_is_named():
    assert "layer/weights was not finite before" in explanation([2.0, 2.0], weight=np.inf)


def test_a_gradient_alone_is_named_by_its_variable():
    # The root of 0 is 0, but its derivative is infinite.
    assert "the gradient of layer/weights is not" in explanation([2.0, 1.0])


def test_gradients_are_not_computed_while_other_ranks_do_not_take_part():
    assert "run again, everything was finite" in explanation([2.0, 1.0], alone=False)


def test_the_rank_is_named_that_a_bad_step_came_from():
    text = nonfinite.describe([("a, b", None), ("c, d", "the loss is not finite")])
    assert "rank 1" in text
    assert "c, d; the loss is not finite" in text
    assert "a, b" not in text


def test_several_bad_ranks_are_counted():
    text = nonfinite.describe([("a", None), ("b", "x"), ("c", "y"), ("d", "z")])
    assert "rank 1 and 2 more" in text
    assert "b; x" in text


def test_no_rank_is_blamed_for_what_none_finds_again():
    assert "finite in every rank" in nonfinite.describe([("a", None), ("b", None)])

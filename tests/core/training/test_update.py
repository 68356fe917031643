"""What is noted of a step that is not finite."""

import numpy as np
import pytest

from core.training import update
from utils.compat import tf


def noted(gradient_norm, steps=1, excused=()):
    """Returns what is noted over steps with these gradient norms, one after the other."""
    global_step = tf.train.get_or_create_global_step()
    norms = tf.constant(np.float32(gradient_norm))
    values = {name: tf.constant(0.5) for name in update.REPORTED}
    values["gradient_norm"] = norms[global_step]
    bad_step = update.note_bad_step(global_step, values, excused=excused)
    with tf.control_dependencies([bad_step.number]):
        advance = tf.assign_add(global_step, 1)
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(steps):
            result = session.run([bad_step, advance])[0]
    return result


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_bad_step_is_kept_with_its_values(bad):
    result = noted([1.0, bad, np.inf, 2.0], steps=4)
    assert result.number == 2
    np.testing.assert_equal(result.values["gradient_norm"], np.float32(bad))
    assert result.values["loss"] == np.float32(0.5)


def test_the_largest_number_is_still_one():
    assert noted([np.finfo(np.float32).max]).number == 0


def test_an_overflow_is_excused_where_the_optimizer_leaves_it_out_itself():
    assert noted([np.inf], excused=("gradient_norm",)).number == 0

"""The first tensor that is not finite, found by running a batch again."""

import numpy as np

from core.training import diagnosis
from core.training.step import TrainStep
from utils.compat import tf


def explanation(images, weight=1.0, alone=True):
    """Returns what is said of the loss mean(sqrt(weight * images - 1))."""
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
        logits={},
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
        return diagnosis.in_words([diagnosis.look(session, step, batch, alone=alone)])


def test_the_operation_is_named_whose_result_is_not_finite_first():
    assert explanation([2.0, 0.5]) == (
        "Its images were first, second; the first tensor that is not finite is root:0 "
        "(Sqrt, 2x1x1x1). "
    )


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
    said = diagnosis.in_words([("a, b", None), ("c, d", "the loss is not finite")])
    assert said == "It came from rank 1: its images were c, d; the loss is not finite. "


def test_several_bad_ranks_are_counted():
    said = diagnosis.in_words([("a", None), ("b", "x"), ("c", "y"), ("d", "z")])
    assert said.startswith("It came from rank 1, as from 2 more: its images were b; x.")


def test_no_rank_is_blamed_for_what_none_finds_again():
    assert "finite in every rank" in diagnosis.in_words([("a", None), ("b", None)])

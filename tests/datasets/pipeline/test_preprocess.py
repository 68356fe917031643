"""Which random number decides what."""

import numpy as np
import pytest

from datasets.pipeline import preprocess
from utils.compat import tf


@pytest.mark.parametrize(
    ("top", "left", "offset"), [(0.0, 0.99, [0, 6]), (0.99, 0.0, [3, 0]), (0.5, 0.5, [2, 3])]
)
def test_a_window_is_placed_by_a_number_for_each_axis(top, left, offset):
    with tf.Graph().as_default(), tf.Session() as session:
        window = preprocess.random_window(
            tf.constant([10, 15]), (7, 9), tf.constant(top), tf.constant(left)
        )
        found, size = session.run(window)
    assert found.tolist() == offset
    assert size.tolist() == [7, 9]


def test_the_largest_number_below_1_chooses_the_last_of_any_number():
    largest = np.nextafter(np.float32(1), np.float32(0))
    numbers = np.arange(1, 3000)
    with tf.Graph().as_default(), tf.Session() as session:
        chosen = session.run(preprocess.choose(numbers, tf.constant(largest)))
    np.testing.assert_array_equal(chosen, numbers - 1)

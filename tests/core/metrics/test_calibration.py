"""The expected calibration error."""

import numpy as np
import pytest

from core.metrics import calibration
from utils.compat import tf


def _sums(labels, predictions, confidences, counted, bins=4):
    inputs = [
        tf.constant(np.asarray(value)[np.newaxis, np.newaxis])
        for value in (labels, predictions, np.float32(confidences), counted)
    ]
    with tf.Session() as session:
        return session.run(calibration.count(*inputs, bins=bins))[0]


def test_pixels_are_sorted_by_the_probability_of_their_class():
    sums = _sums(
        np.int32([1, 1, 2, 0, 255]),
        np.int32([1, 0, 2, 0, 3]),
        [1.0, 0.9, 0.3, 0.74, 0.1],
        [True, True, True, True, False],
    )
    np.testing.assert_allclose(sums[0], [0, 1, 1, 2])
    np.testing.assert_allclose(sums[1], [0, 1, 1, 1])
    np.testing.assert_allclose(sums[2], [0, 0.3, 0.74, 1.9], rtol=1e-6)
    scores = calibration.scores(sums)
    assert scores["ece"] == pytest.approx((0.7 + 0.26 + 0.9) / 4)
    assert scores["bins"][3] == pytest.approx({"confidence": 0.95, "accuracy": 0.5, "share": 0.5})


def test_a_network_that_is_as_sure_as_it_is_right_has_no_error():
    random = np.random.RandomState(0)
    confidences = random.uniform(0.25, 1.0, 200000)
    right = random.uniform(size=confidences.shape) < confidences
    sums = _sums(right.astype(np.int32), np.ones_like(right, np.int32), confidences, right >= 0, 15)
    assert sums[0].sum() == 200000
    assert calibration.scores(sums)["ece"] < 0.01

"""Photos at the size of a network, its results at theirs."""

import numpy as np
import pytest

from core.inference import resize
from core.task import MULTICLASS, TASKS
from datasets.pipeline import preprocess
from options.data import InputOptions
from tests.small_data import pixels
from utils.compat import tf


def _probabilities(height, width, classes, seed=0):
    scores = np.random.RandomState(seed).dirichlet(np.full(classes, 0.3), [height, width])
    return scores.astype(np.float32)


@pytest.mark.parametrize("size", [(31, 47), (9, 60)])
def test_labels_are_the_largest_of_the_resized_probabilities(size):
    probabilities = _probabilities(12, 17, 5)
    resized = resize.probabilities_at(probabilities, size)
    np.testing.assert_allclose(resized.sum(2), 1, atol=1e-5)
    labels = resize.labels_at(probabilities, size, MULTICLASS)
    np.testing.assert_array_equal(labels, resized.argmax(2))


def test_a_class_that_is_nowhere_likely_changes_nothing():
    probabilities = np.zeros([6, 7, 4], np.float32)
    probabilities[..., [1, 2, 3]] = 0.1, 0.7, 0.2
    assert (resize.labels_at(probabilities, (20, 20), MULTICLASS) == 2).all()


@pytest.mark.parametrize("name", ["binary", "multilabel"])
def test_labels_by_threshold_are_those_of_the_resized_probabilities(name):
    task, size = TASKS[name], (31, 47)
    probabilities = _probabilities(12, 17, task.channels(3))
    labels = resize.labels_at(probabilities, size, task, 0.3)
    assert labels.dtype == np.uint8
    resized = resize.probabilities_at(probabilities, size)
    np.testing.assert_array_equal(labels, task.decide_array(resized, 0.3))
    enlarged = resize.nearest_labels_at(labels, (62, 94))
    np.testing.assert_array_equal(enlarged[::2, ::2], labels)


def test_what_has_its_size_stays_as_it_is():
    probabilities, labels = _probabilities(5, 6, 3), np.zeros([5, 6], np.uint8)
    assert resize.probabilities_at(probabilities, (5, 6)) is probabilities
    assert resize.nearest_labels_at(labels, (5, 6)) is labels
    assert resize.nearest_labels_at(labels, (10, 3)).shape == (10, 3)


@pytest.mark.parametrize("settings", [{}, {"max_resize_value": 70}, {"keep_aspect_ratio": False}])
def test_the_range_is_that_of_the_input_pipeline(settings):
    options = InputOptions(min_resize_value=48, resize_factor=16, **settings)
    image = pixels(1, 37, 53)
    label = tf.zeros([37, 53, 1], tf.uint8)
    with tf.Session() as session:
        expected = session.run(preprocess.resize_to_range(tf.constant(image), label, options)[0])
    resizer = resize.RangeResizer(
        min_size=48,
        max_size=options.max_resize_value,
        factor=16,
        keep_aspect_ratio=options.keep_aspect_ratio,
    )
    assert resizer.size(37, 53) == expected.shape[:2]
    np.testing.assert_array_equal(resizer.resize(image), expected)
    resizer.close()

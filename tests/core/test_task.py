"""What each task makes of logits, probabilities and labels."""

import dataclasses
import math
import types

import numpy as np
import pytest

from core import task as tasks
from core.task import IGNORED, TASKS
from options.task import TaskOptions
from utils import classes
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError


def class_set(count=3, task="multiclass"):
    return ClassSet(classes.default_names(count), task=task)


def run(build, *arrays):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(build(*[tf.constant(array) for array in arrays]))


def logits_of(task, num_classes=3):
    channels = task.channels(num_classes)
    return np.random.RandomState(0).randn(2, 4, 5, channels).astype(np.float32) * 3


def test_the_flag_names_every_task():
    (field,) = [field for field in dataclasses.fields(TaskOptions) if field.name == "task"]
    assert set(field.metadata["choices"]) == set(TASKS)
    assert set(classes.TASKS) == set(TASKS)
    assert all(name == task.name for name, task in TASKS.items())


def targets_of(task, labels, found, label_weights=None):
    def build(labels):
        targets = TASKS[task].targets(labels, found, label_weights)
        tensors = {name: getattr(targets, name) for name in ("labels", "counted", "weights")}
        return {**tensors, "values": targets.values()}

    return types.SimpleNamespace(**run(build, labels))


def test_without_an_ignore_label_every_class_counts():
    labels = np.array([[[[0], [255]]]], np.int32)
    found = dataclasses.replace(class_set(), ignore_label=None)
    targets = targets_of("multiclass", labels, found)
    assert targets.counted[0, 0, :, 0].tolist() == [1, 1]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
def test_a_decision_is_the_same_for_logits_tensors_and_arrays(task, threshold):
    logits = logits_of(task)
    probabilities = run(task.activate, logits)
    of_logits = run(lambda values: task.decide_logits(values, threshold), logits)
    of_tensor = run(lambda values: task.decide(values, threshold), probabilities)
    of_array = task.decide_array(probabilities, threshold)
    assert of_logits.dtype == of_tensor.dtype == of_array.dtype == np.int32
    np.testing.assert_array_equal(of_logits, of_tensor)
    np.testing.assert_array_equal(of_array, of_tensor)
    assert of_array.shape == ((2, 4, 5) if task.is_exclusive else (2, 4, 5, 3))
    assert len(np.unique(of_array)) > 1


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_probabilities_have_the_shape_of_logits(task):
    logits = logits_of(task)
    probabilities = run(task.activate, logits)
    assert probabilities.shape == logits.shape
    assert probabilities.min() > 0
    assert probabilities.max() < 1
    assert task.channels(task.num_classes(logits.shape[3])) == logits.shape[3]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_confidence_is_at_least_that_of_guessing(task):
    probabilities = run(task.activate, logits_of(task))
    confidence = run(task.confidence, probabilities)
    assert confidence.shape == task.decide_array(probabilities).shape
    assert confidence.min() >= (1 / 3 if task.name == "multiclass" else 1 / 2)


def test_thresholds_can_differ_by_label():
    task = TASKS["multilabel"]
    probabilities = np.full([1, 1, 1, 3], 0.4, np.float32)
    for threshold, expected in (((0.3, 0.5, 0.39), [1, 0, 1]), ((0.0, 1.0, 0.4), [1, 0, 0])):
        assert task.decide_array(probabilities, threshold)[0, 0, 0].tolist() == expected
        decided = run(lambda values, limit=threshold: task.decide(values, limit), probabilities)
        assert decided[0, 0, 0].tolist() == expected


def test_extreme_thresholds_select_all_or_nothing():
    logits = np.array([[[[-50.0], [50.0]]]], np.float32)
    decide = TASKS["binary"].decide_logits
    assert run(lambda values: decide(values, 0.0), logits).tolist() == [[[1, 1]]]
    assert run(lambda values: decide(values, 1.0), logits).tolist() == [[[0, 0]]]


def test_multiclass_targets_are_one_hot_and_count_all_but_the_ignore_label():
    labels = np.array([[[[0], [2], [255], [7]]]], np.int32)
    targets = targets_of("multiclass", labels, class_set(), (2.0, 3.0, 4.0))
    np.testing.assert_array_equal(
        targets.values[0, 0], [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    )
    assert targets.counted[0, 0, :, 0].tolist() == [1, 1, 0, 1]
    assert targets.weights[0, 0, :, 0].tolist() == [2, 4, 0, 0]


def test_binary_targets_ignore_everything_but_background_and_object():
    labels = np.array([[[[0], [1], [255], [2]]]], np.int32)
    targets = targets_of("binary", labels, class_set(count=2), (2.0, 3.0))
    assert targets.values[0, 0, :, 0].tolist() == [0, 1, 0, 0]
    assert targets.counted[0, 0, :, 0].tolist() == [1, 1, 0, 0]
    assert targets.weights[0, 0, :, 0].tolist() == [2, 3, 0, 0]


def test_multilabel_targets_are_ignored_one_by_one():
    labels = np.array([[[[0, 1, IGNORED]]]], np.int32)
    targets = targets_of("multilabel", labels, class_set(), (2.0, 3.0, 4.0))
    assert targets.values[0, 0, 0].tolist() == [0, 1, 0]
    assert targets.counted[0, 0, 0].tolist() == [1, 1, 0]
    assert targets.weights[0, 0, 0].tolist() == [2, 3, 0]


def test_guessing_costs_the_logarithm_of_the_choices():
    costs = {name: task.loss_at_chance(21) for name, task in TASKS.items()}
    assert costs == {
        "multiclass": math.log(21),
        "binary": math.log(2),
        "multilabel": math.log(2),
    }


def test_labels_of_a_batch_get_the_shape_of_predicted_ones():
    labels = np.zeros([2, 4, 5, 1], np.int32)
    assert run(TASKS["binary"].squeeze, labels).shape == (2, 4, 5)
    assert run(TASKS["multilabel"].squeeze, np.zeros([2, 4, 5, 3], np.int32)).shape == (2, 4, 5, 3)


def test_the_task_is_that_of_the_data_unless_an_option_names_one():
    found = class_set(count=2)
    assert tasks.resolve(TaskOptions(), found) == found
    resolved = tasks.resolve(TaskOptions(task="binary", threshold=0.3), found)
    assert tasks.of(resolved) is TASKS["binary"]


@pytest.mark.parametrize(
    ("options", "found", "message"),
    [
        (TaskOptions(task="multilabel"), class_set(), "--task=multilabel.*multiclass"),
        (TaskOptions(task="binary"), class_set(task="multilabel", count=2), "--task=binary"),
        (TaskOptions(task="binary"), class_set(count=3), "--task=binary.*3"),
        (TaskOptions(threshold=0.3), class_set(), "--threshold=0.3"),
    ],
)
def test_options_that_do_not_fit_the_data_are_refused(options, found, message):
    with pytest.raises(OptionError, match=message):
        tasks.resolve(options, found)

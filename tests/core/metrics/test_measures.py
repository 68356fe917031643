"""What every measure of the registry must do, and the scores of labels by threshold."""

import dataclasses

import numpy as np
import pytest

from core.evaluation.evaluator import MEASURES, Result, create_measures, larger_is_better
from core.inference import tta
from core.metrics import class_scores, pixels
from core.task import IGNORED, TASKS
from options.evaluation import EvalOptions
from utils import report
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

PLAIN = EvalOptions()
ALL = EvalOptions(boundary_width=0.1, calibration_bins=4, threshold_sweep=True, musket_metrics=True)
COUNT = {"multiclass": 3, "binary": 2, "multilabel": 3}


def class_set(task):
    return ClassSet(tuple("abc")[: COUNT[task]], task=task, name="tiny")


def batch_of(task, images=3, size=(9, 11), seed=0):
    """Returns a batch of random labels, and its prediction."""
    classes, random = class_set(task.name), np.random.RandomState(seed)
    last = [1] if task.is_exclusive else [classes.count]
    labels = random.randint(0, classes.count if task.is_exclusive else 2, [images, *size, *last])
    labels[random.uniform(size=labels.shape) < 0.1] = IGNORED
    channels = task.channels(classes.count)
    probabilities = random.uniform(size=[images, *size, channels]).astype(np.float32)
    batch = {
        "label": labels.astype(np.int32),
        "height": np.int32([size[0]] * images),
        "width": np.int32([size[1]] * images),
        "valid": np.float32([1] * images),
    }
    return batch, tta.Prediction(task.decide_array(probabilities), probabilities)


def measured(task, options=PLAIN, seed=0):
    """Returns the measures of a batch, and what they fetched."""
    classes = class_set(task.name)
    batch, prediction = batch_of(task, seed=seed)
    found = create_measures(classes, options)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {name: tf.constant(value) for name, value in batch.items()}
        known, _ = pixels.of_batch(tensors, task, classes)
        predicted = tta.Prediction(*map(tf.constant, prediction))
        values = session.run([measure.fetches(known, predicted) for measure in found])
    for measure, own in zip(found, values):
        for index in range(len(batch["valid"])):
            measure.add(own, index)
    return found, values


def options_for(task):
    return dataclasses.replace(ALL, threshold_sweep=task.uses_threshold)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_found_by_its_name(name):
    assert MEASURES[name].name == name


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_measures_of_a_task_come_first_and_have_its_monitor(task):
    classes = class_set(task.name)
    assert tuple(m.name for m in create_measures(classes, EvalOptions())) == task.measures
    found, _ = measured(task, options_for(task))
    assert tuple(measure.name for measure in found[: len(task.measures)]) == task.measures
    headlines = {score.key: score.value for measure in found for score in measure.headlines()}
    assert 0 < headlines[task.monitor] < 1
    assert {"miou", "iou", "mean_iou_of_labels"} & set(headlines)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_measure_returns_can_be_shown(task):
    found, values = measured(task, options_for(task))
    count = COUNT[task.name]
    for measure, own in zip(found, values):
        scores = measure.scores()
        assert {*measure.keys, *measure.entries} <= set(scores)
        assert all(len(column.values) == count for column in measure.columns())
        assert set(measure.tables()) == set(measure.files)
        for score in measure.headlines():
            least, most = {"musket": (0, 2), "object": (-1, 1), "labels": (-1, 1)}.get(
                measure.name, (0, 1)
            )
            assert score.value is None or least <= score.value <= most
        for figure in measure.figures():
            assert report.page(figure.template, content=figure.content)
        image = measure.image_score(own, 0)
        assert image is None or 0 <= image.value <= 1


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_sums_over_ranks_are_those_of_all_images(task):
    class Twice:
        def sum_over_ranks(self, array):
            return 2 * array

    for measure in measured(task, options_for(task))[0]:
        before = measure.sums.copy()
        measure.sum_over_ranks(Twice())
        np.testing.assert_array_equal(measure.sums, 2 * before)


@pytest.mark.parametrize("name", ["binary", "multilabel"])
def test_labels_by_threshold_are_counted_as_in_numpy(name):
    task = TASKS[name]
    (measure, *_), _ = measured(task)
    batch, prediction = batch_of(task)
    truth = batch["label"]
    predicted = prediction.labels.reshape(truth.shape)
    known = truth != IGNORED
    ious = []
    for channel in range(truth.shape[-1]):
        hits, either = (
            (combine(truth == 1, predicted == 1) & known)[..., channel].sum()
            for combine in (np.logical_and, np.logical_or)
        )
        ious.append(hits / either)
    (monitored,) = [s.value for s in measure.headlines() if s.key == task.monitor]
    assert monitored == pytest.approx(np.mean(ious))
    if name == "multilabel":
        assert measure.scores()["iou_per_class"] == pytest.approx(ious)
        accuracy = (truth == predicted)[known].mean()
        assert measure.scores()["label_accuracy"] == pytest.approx(accuracy)


def test_the_scores_of_an_object_are_those_of_the_confusion_matrix():
    (of_object, confusion, _), _ = measured(TASKS["binary"])
    expected = confusion.scores()["classes"][1]
    found = of_object.scores()
    for name in ("iou", "precision", "recall", "f1"):
        assert found[name] == pytest.approx(expected[name])
    (right, wrong), (missed, hits) = confusion.sums.astype(float)
    product = (hits + wrong) * (hits + missed) * (right + wrong) * (right + missed)
    matthews = (hits * right - wrong * missed) / np.sqrt(product)
    assert found["matthews"] == pytest.approx(matthews)


def test_a_label_that_is_nowhere_is_not_in_the_mean():
    measure, _ = create_measures(class_set("multilabel"), EvalOptions())
    measure.sums[:] = [[5, 0, 0], [5, 10, 0], [10, 0, 0], [100, 100, 100]]
    found = measure.scores()
    assert found["iou_per_class"] == [0.5, 0.0, None]
    assert found["mean_iou_of_labels"] == 0.25
    assert found["classes_in_mean"] == [0, 1]
    assert found["mean_f1_of_labels"] == pytest.approx((10 / 15) / 2)
    assert found["mean_precision_of_labels"] == 0.5
    assert found["mean_recall_of_labels"] == 0.5
    assert [row["accuracy"] for row in found["classes"]] == [0.95, 0.9, 1.0]
    # Without a prediction a correlation is not defined.
    expected = (5 * 90 - 5 * 0) / np.sqrt(10 * 5 * 95 * 90)
    assert [row["matthews"] for row in found["classes"]] == [pytest.approx(expected), None, None]
    assert found["mean_matthews_of_labels"] == pytest.approx(expected)


def test_a_correlation_of_many_pixels_is_exact():
    many = 3 * 10**9
    assert class_scores.matthews(many, many, many, 2 * many) == pytest.approx(1.0)
    assert class_scores.matthews(0, many, many, 2 * many) == pytest.approx(-1.0)


def test_labels_of_a_multilabel_batch_are_0_1_or_ignored():
    task, classes = TASKS["multilabel"], class_set("multilabel")
    batch, _ = batch_of(task)
    batch["label"][1, 2, 3] = 7, 1, 2
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {name: tf.constant(value) for name, value in batch.items()}
        bad = session.run(pixels.of_batch(tensors, task, classes)[1])
    assert bad.pixels.tolist() == [0, 2, 0]
    assert bad.label.tolist() == [0, 7, 0]


@pytest.mark.parametrize(
    "option", [{"threshold_sweep": True}, {"empty_images": "zero"}, {"empty_images": "skip"}]
)
def test_what_needs_a_threshold_is_refused_for_classes_of_a_pixel(option):
    options = EvalOptions(**option)
    with pytest.raises(OptionError, match=f"--{next(iter(option))}.* --task=multiclass"):
        create_measures(class_set("multiclass"), options)
    create_measures(class_set("binary"), options)


def test_only_a_score_that_is_measured_can_be_monitored():
    classes = class_set("multiclass")
    measured_too = options_for(TASKS["multiclass"])
    others = {"training_loss": False}
    for name, expected in (("boundary_iou", True), ("ece", False), ("training_loss", False)):
        assert larger_is_better(name, classes, measured_too, others) is expected
    for name in ("boundary_iou", "ece", "iou", "val_loss"):
        with pytest.raises(OptionError, match=f"{name} .*--monitor.*miou.*training_loss"):
            larger_is_better(name, classes, PLAIN, others)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_iou_of_each_class_can_be_monitored(task):
    classes = class_set(task.name)
    found, _ = measured(task)
    result = Result(tuple(found), 1, (), "a", 1, 1.0)
    entries = result.scores()["classes"]
    for entry, iou in zip(entries, result.record()["eval_iou_per_class"]):
        assert larger_is_better(f"iou/{entry['name']}", classes, EvalOptions(), {})
        assert result.score(f"iou/{entry['name']}") == iou == entry["iou"]
    with pytest.raises(OptionError, match=f"iou/none .* iou/{entries[0]['name']}"):
        larger_is_better("iou/none", classes, EvalOptions(), {})

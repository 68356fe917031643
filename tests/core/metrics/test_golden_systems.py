"""Scores equal those that the systems before this project stored."""

import numpy as np
import pytest

from core.evaluation.evaluator import create_measures
from core.inference import tta
from core.metrics import confusion as matrices
from core.metrics import pixels
from core.task import TASKS
from options.evaluation import EvalOptions
from tests.golden import rules
from tests.golden.refinenet.rules import multi_label
from tests.resources import golden_json
from utils.classes import ClassSet, default_names
from utils.compat import tf

SIZE = (40, 56)


def measured(classes, labels, predictions):
    """Returns the measures of a set of images, each int32 [h, w, channels of the labels]."""
    task = tasks_of(classes)
    found = create_measures(classes, EvalOptions())
    height, width = labels.shape[1:3]
    with tf.Graph().as_default(), tf.Session() as session:
        batch = {
            "label": tf.constant(labels, tf.int32),
            "height": tf.fill([len(labels)], height),
            "width": tf.fill([len(labels)], width),
            "valid": tf.ones([len(labels)]),
        }
        known, _ = pixels.of_batch(batch, task, classes)
        prediction = tta.Prediction(tf.constant(predictions, tf.int32), None)
        values = session.run([measure.fetches(known, prediction) for measure in found])
    for measure, own in zip(found, values):
        for index in range(len(labels)):
            measure.add(own, index)
    return {measure.name: measure for measure in found}


def tasks_of(classes):
    return TASKS[classes.task]


def maps_of(case):
    """Returns labels and predictions [n, h, w] by the rule of the golden file."""
    size = case["h"], case["w"]
    labels, predictions = [], []
    for index in range(case["n"]):
        label = rules.label_map(case["gt_seed"] + index, *size, case["classes"], case["ignore"])
        label = label[..., 0].copy()
        seed = case["pred_seed"] + index
        predicted = rules.label_map(seed, *size, case["classes"], 0)[..., 0].copy()
        agrees = np.random.RandomState(seed + 1000).uniform(size=size) < case["agree"]
        agrees &= label != case["ignore"]
        predicted[agrees] = label[agrees]
        replaced = case.get("absent_to", 0)
        for absent in case.get("absent", ()):
            label[label == absent] = case["ignore"]
            predicted[predicted == absent] = replaced
        for only_predicted in case.get("only_predicted", ()):
            label[label == only_predicted] = case["ignore"]
        for never in case.get("never_predicted", ()):
            predicted[predicted == never] = replaced
        labels.append(label)
        predictions.append(predicted)
    return np.int32(labels), np.int32(predictions)


def same(ours, theirs, tolerance):
    """Whether scores are equal; None stands for NaN."""
    for mine, other in zip(ours, theirs):
        if np.isnan(other):
            assert mine is None
        else:
            assert mine == pytest.approx(other, abs=tolerance)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(("system", "tolerance"), [("abeja", 1e-6), ("hardnet", 1e-9)])
def test_scores_of_exclusive_classes_equal_those_of_the_system(system, tolerance, number):
    golden = golden_json(f"{system}/metrics.json")["cases"][number]
    case = golden["case"]
    classes = ClassSet(default_names(case["classes"]), ignore_label=case["ignore"])
    labels, predictions = maps_of(case)
    matrix = measured(classes, labels[..., np.newaxis], predictions)["confusion"].sums
    np.testing.assert_array_equal(matrix, golden["confusion"])
    ious = matrices.iou_per_class(matrix)
    same(ious, golden["class_iou"], tolerance)
    if system == "abeja":
        same([matrices.pixel_accuracy(matrix)], [golden["global_accuracy"]], tolerance)
        same(matrices.class_scores(matrix).recall, golden["class_accuracy"], tolerance)
        # Its mean is undefined as soon as a class is absent; ours leaves the class out.
        if None not in ious:
            same([matrices.mean_iou(matrix)], [golden["mean_iou"]], tolerance)
        else:
            assert np.isnan(golden["mean_iou"])
        return
    found = (
        matrices.pixel_accuracy(matrix),
        matrices.mean_accuracy(matrix),
        matrices.frequency_weighted_iou(matrix),
        matrices.mean_iou(matrix),
    )
    stored = golden["scores"].values()
    if case["name"] == "all_ignored":
        # A sum over no class is 0 there; nothing was measured.
        assert found == (None,) * 4
        assert all(np.isnan(value) or value == 0 for value in stored)
    else:
        same(found, stored, tolerance)


def predictions_of(case):
    """Returns labels and logits [n, h, w, classes] of each batch by the rule of the file."""
    height, width = case["size"]
    count = len(case["classes"])
    batches = []
    for seed, seeds in case["batches"]:
        labels = np.stack([multi_label(one, height, width, count) for one in seeds])
        shape = (len(seeds), height, width, count)
        logits = np.random.RandomState(seed).standard_normal(shape) * 2
        batches.append((labels.astype(np.int32), logits.astype(np.float32)))
    for batch, label, what in case["absent"]:
        labels, logits = batches[batch]
        if what in ("pred", "both"):
            logits[..., label] = -1
        if what in ("label", "both"):
            labels[..., label] = 0
    return batches


@pytest.mark.parametrize("number", range(3))
def test_accumulated_scores_of_labels_equal_those_of_refinenet(number):
    golden = golden_json("refinenet/metrics.json")["cases"][number]
    classes = ClassSet(tuple(golden["classes"]), task="multilabel")
    batches = predictions_of(golden)
    for (labels, logits), expected in zip(batches, golden["per_batch"]):
        own = measured(classes, labels, logits > 0)["labels"].sums
        for row, name in enumerate(("true_positive", "labelled", "predicted")):
            assert own[row].tolist() == expected[name]
    labels, logits = (np.concatenate(parts) for parts in zip(*batches))
    found = measured(classes, labels, logits > 0)["labels"].scores()
    expected = golden["accumulated"]
    rows = found["classes"]
    for key, name in (("iou", "iou"), ("precision", "prec"), ("recall", "recall")):
        same([row[key] for row in rows], _nan_for_none(expected[name]), 1e-6)
        mean = f"mean_{key}_of_labels"
        same([found[mean]], _nan_for_none([expected[f"mean_{name}"]]), 1e-6)


def _nan_for_none(values):
    return [np.nan if value is None else value for value in values]

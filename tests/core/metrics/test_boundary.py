"""Boundary IoU and boundary F1 against definitions written out in numpy."""

import numpy as np
import pytest

from core.inference import tta
from core.metrics import boundary, pixels
from core.task import MULTICLASS, TASKS
from options.evaluation import EvalOptions
from utils.classes import ClassSet, default_names
from utils.compat import tf

CLASSES = 3
SIZE = (14, 19)
# Of two images that are padded to it.
SIZES = (SIZE, (9, 13))


def _maps(seed):
    random = np.random.RandomState(seed)
    labels = np.repeat(np.repeat(random.randint(0, CLASSES, (4, 5)), 4, 0), 4, 1)
    labels = labels[: SIZE[0], : SIZE[1]].astype(np.int32)
    predictions = np.roll(labels, (1, seed % 3), (0, 1))
    predictions[random.uniform(size=SIZE) < 0.05] = 1
    labels[random.uniform(size=SIZE) < 0.05] = 255
    return labels, predictions


def _run(labels, predictions, width, heights=None, widths=None):
    labels, predictions = np.stack(labels), np.stack(predictions)
    number = len(labels)
    batch = {
        "label": tf.constant(labels[..., np.newaxis]),
        "height": tf.constant(np.int32(heights or [SIZE[0]] * number)),
        "width": tf.constant(np.int32(widths or [SIZE[1]] * number)),
        "valid": tf.ones([number]),
    }
    classes = ClassSet(default_names(CLASSES))
    known, _ = pixels.of_batch(batch, MULTICLASS, classes)
    measure = boundary.Boundary(MULTICLASS, classes, EvalOptions(boundary_width=width))
    prediction = tta.Prediction(tf.constant(predictions), None)
    with tf.Session() as session:
        counts = session.run(measure.fetches(known, prediction))
    for index in range(number):
        measure.add(counts, index)
    return measure.scores()["boundary"]


def _region(ids, of_class, distance):
    """Pixels of a class with anything else within a square of the distance, by definition."""
    padded = np.pad(ids, distance, "constant", constant_values=-1)
    found = np.zeros(ids.shape, bool)
    for row, column in zip(*np.nonzero(ids == of_class)):
        window = padded[row : row + 2 * distance + 1, column : column + 2 * distance + 1]
        found[row, column] = np.any(window != of_class)
    return found


def _contour(ids, of_class):
    """Pixels of a class with another class among their eight neighbours."""
    padded = np.pad(ids, 1, "constant", constant_values=-1)
    found = np.zeros(ids.shape, bool)
    for row, column in zip(*np.nonzero(ids == of_class)):
        window = padded[row : row + 3, column : column + 3]
        found[row, column] = np.any((window != of_class) & (window >= 0) & (window < CLASSES))
    return list(zip(*np.nonzero(found)))


def _near_share(contour, other, distance):
    near = [any((a - c) ** 2 + (b - d) ** 2 <= distance**2 for c, d in other) for a, b in contour]
    return sum(near) / max(len(near), 1)


@pytest.mark.parametrize("width", [0.01, 0.08, 0.15])
def test_scores_are_those_of_the_definitions(width):
    labels, predictions = zip(*(_maps(seed) for seed in (0, 1)))
    scores = _run(labels, predictions, width)
    distance = max(1, round(float(width * np.hypot(*SIZE))))
    known = [
        (label, np.where(label == 255, CLASSES, prediction))
        for label, prediction in zip(labels, predictions)
    ]
    known = [(np.where(label == 255, CLASSES, label), prediction) for label, prediction in known]
    for index in range(CLASSES):
        both = union = 0
        f1 = []
        for label, prediction in known:
            near, near_predicted = (_region(ids, index, distance) for ids in (label, prediction))
            both += (near & near_predicted).sum()
            union += (near | near_predicted).sum()
            contour, predicted = _contour(label, index), _contour(prediction, index)
            recall = _near_share(contour, predicted, distance)
            precision = _near_share(predicted, contour, distance)
            if contour or predicted:
                f1.append(2 * precision * recall / max(precision + recall, 1e-12))
        assert scores["boundary_iou_per_class"][index] == pytest.approx(both / union)
        assert scores["boundary_f1_per_class"][index] == pytest.approx(np.mean(f1))
    assert scores["boundary_iou"] == pytest.approx(np.mean(scores["boundary_iou_per_class"]))
    assert scores["width"] == width


def test_a_perfect_prediction_has_one_and_padding_does_not_matter():
    label, _ = _maps(3)
    prediction = np.where(label == 255, 2, label)
    scores = _run([label], [prediction], 0.05)
    assert scores["boundary_iou"] == scores["boundary_f1"] == 1.0
    label, prediction = _maps(4)
    alone = _run([label[:10, :12]], [prediction[:10, :12]], 0.1, [10], [12])
    padded = np.full(SIZE, 255, np.int32)
    padded[:10, :12] = label[:10, :12]
    assert _run([padded], [prediction], 0.1, [10], [12]) == alone


def test_a_class_that_is_nowhere_has_no_score():
    label = np.zeros(SIZE, np.int32)
    scores = _run([label], [label], 0.05)
    assert scores["boundary_iou_per_class"] == [1.0, None, None]
    assert scores["boundary_f1_per_class"] == [None, None, None]
    assert scores["boundary_f1"] is None


def test_independent_labels_are_objects_before_a_background():
    labels, predictions = zip(*(_maps(seed) for seed in (0, 1)))
    # As labels of their own, two of which overlap.
    kinds = [(0,), (1,), (1, 2)]
    masks = [np.stack([np.isin(ids, kind) for kind in kinds], -1) for ids in labels]
    found = [np.stack([np.isin(ids, kind) for kind in kinds], -1) for ids in predictions]
    ignored = np.stack(labels) == 255
    truth = np.where(ignored[..., np.newaxis], 255, masks).astype(np.int32)
    classes = ClassSet(default_names(len(kinds)), task="multilabel")
    scores = _of_labels(truth, np.int32(found), classes)
    for index in range(len(kinds)):
        one = truth[..., index]
        expected = _run(one, np.stack(found)[..., index].astype(np.int32), 0.08, *zip(*SIZES))
        for name in ("boundary_iou_per_class", "boundary_f1_per_class"):
            assert scores[name][index] == pytest.approx(expected[name][1])
    assert len(set(scores["boundary_iou_per_class"])) == len(kinds)


def _of_labels(truth, found, classes):
    """Returns the scores of independent labels."""
    number = len(truth)
    batch = {
        "label": tf.constant(truth),
        "height": tf.constant(np.int32([height for height, _ in SIZES])),
        "width": tf.constant(np.int32([width for _, width in SIZES])),
        "valid": tf.ones([number]),
    }
    task = TASKS["multilabel"]
    known, _ = pixels.of_batch(batch, task, classes)
    measure = boundary.Boundary(task, classes, EvalOptions(boundary_width=0.08))
    with tf.Session() as session:
        counts = session.run(measure.fetches(known, tta.Prediction(tf.constant(found), None)))
    for index in range(number):
        measure.add(counts, index)
    return measure.scores()["boundary"]

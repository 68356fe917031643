"""The confusion matrix and what is read off it."""

import numpy as np
import pytest

from core.metrics import confusion as metrics
from core.metrics import pixels
from core.task import MULTICLASS
from options.evaluation import EvalOptions
from utils.classes import ClassSet, default_names
from utils.compat import tf


def _count(labels, predictions, num_classes, ignore_label=255, sizes=None, valid=None):
    known, bad = _known(np.asarray(labels, np.int32), num_classes, ignore_label, sizes, valid)
    predictions = tf.constant(np.asarray(predictions, np.int32))
    confusion = metrics.count(known.labels, predictions, known.counted, num_classes=num_classes)
    with tf.Session() as session:
        return session.run([confusion, bad.pixels, bad.label])


def _known(labels, num_classes, ignore_label=255, sizes=None, valid=None):
    images, height, width = labels.shape
    sizes = [(height, width)] * images if sizes is None else sizes
    batch = {
        "label": tf.constant(labels[..., np.newaxis]),
        "height": tf.constant([size[0] for size in sizes]),
        "width": tf.constant([size[1] for size in sizes]),
        "valid": tf.constant([1.0] * images if valid is None else valid),
    }
    classes = ClassSet(default_names(num_classes), ignore_label=ignore_label)
    return pixels.of_batch(batch, MULTICLASS, classes)


def _by_hand(labels, predictions, num_classes, ignore_label=255):
    confusion = np.zeros([num_classes, num_classes], np.int64)
    for label, prediction in zip(np.ravel(labels), np.ravel(predictions)):
        if label != ignore_label:
            confusion[label, prediction] += 1
    return confusion


def test_rows_are_labels_and_columns_are_predictions():
    confusion, bad, _ = _count([[[0, 0, 1, 255]]], [[[0, 2, 2, 1]]], 3)
    assert confusion[0].tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert bad.tolist() == [0]


@pytest.mark.parametrize("num_classes", [2, 21, 151])
def test_every_image_is_counted_by_itself(num_classes):
    random = np.random.RandomState(num_classes)
    labels = random.randint(0, num_classes, [3, 17, 19])
    labels[random.uniform(size=labels.shape) < 0.2] = 255
    predictions = random.randint(0, num_classes, [3, 17, 19])
    confusion, _, _ = _count(labels, predictions, num_classes)
    assert confusion.dtype == np.int32
    for image in range(3):
        expected = _by_hand(labels[image], predictions[image], num_classes)
        np.testing.assert_array_equal(confusion[image], expected)


def test_padding_and_samples_that_fill_a_batch_are_never_counted():
    labels = np.ones([3, 4, 5])
    # The sizes decide, whatever label the padding has.
    confusion, _, _ = _count(
        labels, labels, 2, sizes=[(4, 5), (2, 3), (4, 5)], valid=[1.0, 1.0, 0.0]
    )
    assert confusion[:, 1, 1].tolist() == [20, 6, 0]
    assert confusion.sum() == 26


@pytest.mark.parametrize("ignore_label", [0, 3, 255])
def test_the_ignore_label_may_be_any_value(ignore_label):
    labels = np.array([[[0, 1, 2, ignore_label]]])
    confusion, bad, _ = _count(labels, np.zeros([1, 1, 4]), 3, ignore_label=ignore_label)
    assert confusion.sum() == (2 if ignore_label == 0 else 3)
    assert bad.tolist() == [0]


def test_labels_that_are_no_class_are_reported_by_image():
    labels = np.array([[[0, 1]], [[7, 200]], [[255, 9]], [[7, 7]]])
    confusion, bad, label = _count(
        labels, np.zeros([4, 1, 2]), 3, sizes=[(1, 2), (1, 2), (1, 1), (1, 2)], valid=[1, 1, 1, 0]
    )
    assert bad.tolist() == [0, 2, 0, 0]
    assert label.tolist() == [0, 200, 0, 0]
    assert confusion.sum() == 2


def test_what_counts_is_known_pixel_by_pixel():
    labels = np.int32([[[0, 1, 2, 255], [9, 0, 1, 2]]])
    known, _ = _known(labels, 3, sizes=[(2, 3)])
    with tf.Session() as session:
        counted = session.run(known.counted)
    # Neither the ignored pixel, nor one of no class, nor padding.
    assert counted.tolist() == [[[True, True, True, False], [False, True, True, False]]]


def test_counts_stay_exact_where_float32_would_not():
    # 2^24 + 3 pixels in one cell: float32 cannot count that far in ones.
    labels = np.zeros([1, 1, 2**24 + 3])
    confusion, _, _ = _count(labels, labels, 2)
    assert confusion[0, 0, 0] == 2**24 + 3


def test_the_graph_has_neither_float64_nor_nan():
    size = tf.placeholder(tf.int32, [2])
    labels = tf.placeholder(tf.int32, [2, 8, 8, 1])
    valid = tf.placeholder(tf.float32, [2])
    batch = {"label": labels, "height": size, "width": size, "valid": valid}
    known, _ = pixels.of_batch(batch, MULTICLASS, ClassSet(default_names(3)))
    metrics.count(known.labels, known.labels, known.counted, num_classes=3)
    for operation in tf.get_default_graph().get_operations():
        for tensor in operation.outputs:
            assert tensor.dtype.base_dtype not in (tf.float64, tf.complex64), tensor.name
        if operation.type == "Const" and operation.outputs[0].dtype == tf.float32:
            assert np.all(np.isfinite(tf.make_ndarray(operation.get_attr("value"))))


def test_a_class_without_a_union_is_left_out_and_one_only_predicted_counts_as_zero():
    #            labelled and found, only predicted, absent
    confusion = [[6, 2, 0], [0, 0, 0], [0, 0, 0]]
    assert metrics.iou_per_class(confusion) == [0.75, 0.0, None]
    assert metrics.mean_iou(confusion) == 0.375
    assert metrics.mean_accuracy(confusion) == 0.75
    assert metrics.pixel_accuracy(confusion) == 0.75
    assert metrics.frequency_weighted_iou(confusion) == 0.75


def test_without_any_pixel_there_is_no_score():
    confusion = np.zeros([2, 2], np.int64)
    for score in (
        metrics.mean_iou,
        metrics.pixel_accuracy,
        metrics.mean_accuracy,
        metrics.frequency_weighted_iou,
    ):
        assert score(confusion) is None
    assert metrics.iou_per_class(confusion) == [None, None]


def test_scores_by_class_follow_their_definitions():
    scores = metrics.class_scores([[50, 10, 0], [5, 30, 5], [0, 0, 0]])
    assert scores.precision == [50 / 55, 30 / 40, 0.0]
    assert scores.recall == [50 / 60, 30 / 40, None]
    assert scores.f1 == [100 / 115, 60 / 80, 0.0]
    assert scores.iou == [50 / 65, 30 / 50, 0.0]
    assert scores.labelled == [60, 40, 0]
    assert scores.predicted == [55, 40, 5]


def test_frequencies_weigh_the_iou():
    confusion = np.array([[90, 10], [0, 100]])
    expected = 0.5 * 0.9 + 0.5 * 100 / 110
    assert metrics.frequency_weighted_iou(confusion) == pytest.approx(expected)


def test_large_sums_stay_exact():
    confusion = np.full([2, 2], 2**53 // 3, np.int64)
    confusion[0, 0] += 1
    assert metrics.class_scores(confusion).labelled == [2 * (2**53 // 3) + 1, 2 * (2**53 // 3)]


def test_images_are_ranked_by_the_share_of_right_pixels():
    classes = ClassSet(("sky", "road", "tree"))
    measure = metrics.Confusion(MULTICLASS, classes, EvalOptions())
    # A few pixels of a class that is not there halve the mean IoU, and are hardly wrong.
    stray = np.array([[[960, 0, 40], [0, 0, 0], [0, 0, 0]]])
    wrong = np.array([[[600, 100, 0], [200, 100, 0], [0, 0, 0]]])
    first, second = (measure.image_score(values, 0) for values in (stray, wrong))
    assert (first.name, first.value) == ("pixels right", 0.96)
    assert second.value == 0.7
    assert first.facts[0] == "mIoU 0.4800"
    assert first.facts[1] == "mistakes: sky \u2192 tree 4.0 %"

"""Every threshold in one pass against one threshold at a time, and the areas against pairs."""

import numpy as np
import pytest

from core.inference import tta
from core.metrics import overlap, pixels, sweep
from core.task import IGNORED, TASKS
from options.evaluation import EvalOptions
from utils.classes import ClassSet
from utils.compat import tf

CLASSES = {
    "binary": ClassSet(("ground", "salt"), task="binary"),
    "multilabel": ClassSet(("a", "b", "c"), task="multilabel"),
}


def images_of(name, number=3, size=(13, 11), seed=0):
    """Returns labels and probabilities [N, h, w, channels], the ignored ones 255."""
    random = np.random.RandomState(seed)
    channels = TASKS[name].channels(CLASSES[name].count)
    shape = [number, *size, channels]
    labels = random.randint(0, 2, shape)
    # Rounded: many lie exactly on a limit.
    probabilities = (0.3 * labels + 0.7 * random.uniform(size=shape)).astype(np.float32)
    probabilities[:, ::2] = np.float32(np.round(probabilities[:, ::2], 2))
    labels[0, ..., 0] = 0
    labels[random.uniform(size=shape) < 0.1] = IGNORED
    return labels.astype(np.int32), probabilities


def measured(name, labels, probabilities, sizes=None, **options):
    task, classes = TASKS[name], CLASSES[name]
    measure = sweep.Sweep(task, classes, EvalOptions(threshold_sweep=True, **options))
    number, height, width = labels.shape[:3]
    sizes = np.int32(sizes or [(height, width)] * number)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = {
            "label": tf.constant(labels),
            "height": tf.constant(sizes[:, 0]),
            "width": tf.constant(sizes[:, 1]),
            "valid": tf.ones([number]),
        }
        known, _ = pixels.of_batch(batch, task, classes)
        values = session.run(measure.fetches(known, tta.Prediction(None, probabilities)))
    for index in range(number):
        measure.add(values, index)
    return measure


@pytest.mark.parametrize("name", CLASSES)
def test_each_threshold_has_the_counts_that_it_would_have_alone(name):
    labels, probabilities = images_of(name)
    curves = measured(name, labels, probabilities, empty_images="zero").curves()
    counted = labels != IGNORED
    for index in (0, 1, 29, 50, 70, 99):
        predicted = (probabilities > np.float32(index / 100)) & counted
        truth = labels == 1
        per_image = [
            combined.sum(axis=(1, 2)) for combined in (truth & predicted, truth, predicted)
        ]
        iou, dice, _ = overlap.scores(*(count.sum(axis=0) for count in per_image), "skip")
        np.testing.assert_allclose(curves["iou"][:, index], iou)
        np.testing.assert_allclose(curves["dice"][:, index], dice)
        by_image = overlap.scores(*per_image, "zero").mean(axis=1)
        for key, expected in zip(("iou_per_image", "dice_per_image", "map10"), by_image):
            np.testing.assert_allclose(curves[key][:, index], expected)
        for channel in range(labels.shape[-1]):
            kept = counted[..., channel]
            pair = truth[..., channel][kept], predicted[..., channel][kept]
            expected = np.corrcoef(*pair)[0, 1] if pair[1].any() and not pair[1].all() else np.nan
            np.testing.assert_allclose(curves["matthews"][channel, index], expected)


def test_padding_does_not_count():
    labels, probabilities = images_of("binary")
    whole = measured("binary", labels[:1, :9, :7], probabilities[:1, :9, :7])
    padded = measured("binary", labels[:1], probabilities[:1], sizes=[(9, 7)])
    np.testing.assert_array_equal(whole.sums, padded.sums)


def test_limits_are_exceeded_not_reached():
    limits = (np.arange(sweep.BINS) / sweep.BINS).astype(np.float32)
    values = np.concatenate([limits, np.nextafter(limits[1:], 2, dtype=np.float32), [1e-30, 1.0]])
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(sweep._limits_exceeded(tf.constant(values, tf.float32)))
    np.testing.assert_array_equal(found, (values[:, np.newaxis] > limits).sum(axis=1))


def test_the_areas_are_those_of_all_pairs_and_ranks():
    labels, probabilities = images_of("binary", seed=3)
    probabilities = np.float32(np.round(probabilities, 2))
    found = measured("binary", labels, probabilities).scores()
    kept = labels != IGNORED
    truth, values = labels[kept] == 1, probabilities[kept]
    of_class, others = values[truth][:, np.newaxis], values[~truth]
    pairs = (of_class > others) + 0.5 * (of_class == others)
    assert found["auc"] == pytest.approx(pairs.mean())
    gained, area = 0.0, 0.0
    for limit in sorted(set(values), reverse=True):
        above = values >= limit
        recall = (truth & above).sum() / truth.sum()
        area += (recall - gained) * (truth & above).sum() / above.sum()
        gained = recall
    assert found["average_precision"] == pytest.approx(area)
    assert found["sweep"]["resolution"] == 0.001


def test_the_first_best_threshold_wins_by_class_and_for_all():
    labels = np.zeros([1, 1, 10, 3], np.int32)
    probabilities = np.full([1, 1, 10, 3], 0.1, np.float32)
    labels[0, 0, :5, :2] = 1
    probabilities[0, 0, :5, 0] = 0.45
    probabilities[0, 0, :5, 1] = 0.85
    labels[..., 2] = IGNORED
    measure = measured("multilabel", labels, probabilities)
    for metric in ("iou", "dice", "map10", "iou_per_image"):
        first, second, unseen = measure.best(metric)
        # 0.1 itself is not above 0.1.
        assert first == second == (0.1, 1.0)
        assert unseen is None
        assert measure.best_for_all(metric) == (0.1, 1.0)
    probabilities[0, 0, 5:, 1] = 0.6
    measure = measured("multilabel", labels, probabilities)
    assert [found and found.threshold for found in measure.best("iou")] == [0.1, 0.6, None]
    # From 0.6 on the first class is lost: 1 and 5/10 are better than 0 and 1.
    assert measure.best_for_all("iou") == (0.1, 0.75)


def test_a_class_without_pixels_has_no_area():
    labels = np.zeros([1, 2, 2, 1], np.int32)
    measure = measured("binary", labels, np.full([1, 2, 2, 1], 0.2, np.float32))
    found = measure.scores()
    assert found["auc"] is None
    assert found["average_precision"] is None
    assert measure.best("matthews") == [None]
    assert measure.best("map10") == [(0.2, 1.0)]


def test_the_table_has_a_row_for_each_class_and_threshold():
    measure = measured("multilabel", *images_of("multilabel"))
    rows = measure.tables()["thresholds.csv"]
    assert rows[0] == ["class", "threshold", *sweep.METRICS]
    assert len(rows) == 1 + 3 * 100
    assert rows[101][:2] == ["b", 0.0]
    assert rows[151][2] == measure.curves()["iou"][1, 50]

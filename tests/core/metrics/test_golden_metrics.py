"""The confusion matrix and the scores equal the reference's golden numbers."""

import numpy as np
import pytest

from core.metrics import confusion as metrics
from core.metrics import pixels
from core.task import MULTICLASS
from tests.golden import rules
from tests.resources import golden_json
from utils.classes import ClassSet, default_names
from utils.compat import tf

KINDS = ("plain", "absent", "single", "all_ignored")
_SIZE = (64, 96)


def _batch(seed, kind):
    """Returns (labels, predictions) [1, 64, 96] by the rule of the golden file."""
    labels = rules.label_map(seed, *_SIZE)[np.newaxis, ..., 0].astype(np.int32)
    random = np.random.RandomState(seed)
    agrees = random.uniform(size=labels.shape) < 0.6
    predictions = np.where(agrees, labels, random.randint(0, 21, size=labels.shape))
    third = random.randint(0, 21, size=labels.shape)
    predictions = np.where(predictions == 255, third, predictions).astype(np.int32)
    if kind == "absent":
        labels[labels == 3] = 2
        predictions[predictions == 3] = 2
        labels[labels == 5] = 4
        predictions[predictions == 7] = 6
    elif kind == "single":
        labels[:], predictions[:] = 1, 1
    elif kind == "all_ignored":
        labels[:] = 255
    return labels, predictions


def _confusion(seed, kind):
    """Counts four batches in the graph and adds them up."""
    placeholders = [tf.placeholder(tf.int32, [1, *_SIZE]) for _ in range(2)]
    labels, predictions = placeholders
    batch = {
        "label": labels[..., tf.newaxis],
        "height": tf.constant([_SIZE[0]]),
        "width": tf.constant([_SIZE[1]]),
        "valid": tf.constant([1.0]),
    }
    known, _ = pixels.of_batch(batch, MULTICLASS, ClassSet(default_names(21)))
    counts = metrics.count(known.labels, predictions, known.counted, num_classes=21)
    total = np.zeros([21, 21], np.int64)
    with tf.Session() as session:
        for index in range(4):
            feed = dict(zip(placeholders, _batch(seed + index, kind)))
            total += session.run(counts, feed)[0]
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_confusion_and_iou_equal_the_golden_numbers(kind):
    golden = golden_json("metrics.json")
    case = next(case for case in golden["cases"] if case["kind"] == kind)
    confusion = _confusion(golden["seed"], kind)
    np.testing.assert_array_equal(confusion, case["confusion"])

    # The reference has no IoU for a class without a label; ours is 0 where it was predicted.
    labelled = confusion.sum(axis=1) > 0
    for has_label, ours, theirs in zip(
        labelled, metrics.iou_per_class(confusion), case["iou_per_class"]
    ):
        if has_label:
            assert ours == pytest.approx(theirs, abs=1e-6)
        else:
            assert theirs is None
            assert ours in (None, 0.0)

    expected = case["mean_iou_with_predicted_only_classes_as_zero"]
    if kind == "all_ignored":
        # TensorFlow answers 0 where nothing was measured; there is no mean.
        assert expected == 0.0
        assert metrics.mean_iou(confusion) is None
    else:
        assert metrics.mean_iou(confusion) == pytest.approx(expected, abs=1e-6)

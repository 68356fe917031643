"""The boundary loss equals its definition in arrays."""

import numpy as np
import pytest

from core import task as tasks
from tests.core.losses.test_regions import probabilities_of, values_of, weights_of
from tests.small_losses import IGNORE, all_losses, blocks, classes_of, random_logits

SIZE = (2, 12, 15)


def pooled(plane, side):
    """Returns the maximum of each pixel's neighborhood; an even one reaches further down right."""
    height, width = plane.shape
    before = (side - 1) // 2
    found = np.empty_like(plane)
    for row in range(height):
        for column in range(width):
            rows = slice(max(row - before, 0), row - before + side)
            columns = slice(max(column - before, 0), column - before + side)
            found[row, column] = plane[rows, columns].max()
    return found


def f1(mask, answer, weights, width, tolerance):
    """Returns the sums of one image and class that precision and recall are made of."""
    seen = (weights > 0).astype(float)

    def boundary(plane):
        inverse = (1.0 - plane) * seen
        return (pooled(inverse, width) - inverse) * seen

    label, found = boundary(mask), boundary(answer)
    return np.array(
        [
            (weights * found * pooled(label, tolerance)).sum(),
            (weights * found).sum(),
            (weights * label * pooled(found, tolerance)).sum(),
            (weights * label).sum(),
        ]
    )


def loss_of(sums):
    precision, recall = sums[0] / sums[1], sums[2] / sums[3]
    return 1.0 - 2.0 * precision * recall / (precision + recall)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_loss_is_one_minus_the_f1_of_boundaries(task):
    classes = classes_of(task)
    logits, labels = 3.0 * random_logits(classes, 0, SIZE), blocks(classes, 1, SIZE)
    labels[0, 3:5, 2:9] = IGNORE
    label_weights = (0.5, 2.0, 3.0, 1.0)[: classes.count]
    y, p = values_of(labels, classes), probabilities_of(logits, classes)
    w = np.broadcast_to(weights_of(labels, classes, label_weights), p.shape)
    scale = np.array(label_weights) if task == "multilabel" else np.ones(p.shape[3])
    for width, tolerance in ((3, 5), (4, 3)):
        sums = np.array(
            [
                [
                    f1(y[n, ..., c], p[n, ..., c], w[n, ..., c], width, tolerance)
                    for c in range(p.shape[3])
                ]
                for n in range(SIZE[0])
            ]
        )
        assert (sums[..., 3] > 0).all()
        of_images = np.mean(
            [[scale[c] * loss_of(row) for c, row in enumerate(rows)] for rows in sums]
        )
        of_batch = np.mean([scale[c] * loss_of(row) for c, row in enumerate(sums.sum(axis=0))])
        names = [
            f"boundary(width={width},tolerance={tolerance},over={over})"
            for over in ("image", "batch")
        ]
        found = all_losses(logits, labels, classes, tuple(names), label_weights=label_weights)
        assert [found[name][0] for name in names] == pytest.approx([of_images, of_batch], rel=1e-5)


def test_a_class_without_a_boundary_does_not_count():
    classes = classes_of("binary")
    logits, labels = random_logits(classes, 0, SIZE), blocks(classes, 1, SIZE)
    ((alone, _),) = all_losses(logits[:1], labels[:1], classes, ("boundary",)).values()
    labels[1] = 1
    ((both, _),) = all_losses(logits, labels, classes, ("boundary",)).values()
    assert both == pytest.approx(alone, rel=1e-6)


def test_the_edge_of_an_ignored_area_is_no_boundary():
    classes = classes_of("binary")
    labels = np.full([1, 9, 9, 1], IGNORE, np.int32)
    labels[0, 2:7, 2:7] = 1
    logits = random_logits(classes, 0, (1, 9, 9))
    ((loss, gradient),) = all_losses(logits, labels, classes, ("boundary",)).values()
    assert loss == 0.0
    assert not gradient.any()

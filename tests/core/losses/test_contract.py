"""What every loss must do, for each task that it can train."""

import numpy as np
import pytest

from core import task as tasks
from core.losses import Context, objective
from options.loss import LossOptions
from tests.small_losses import (
    IGNORE,
    classes_of,
    loss_and_gradient,
    random_labels,
    random_logits,
)
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

CASES = [
    pytest.param(name, task, id=f"{name}-{task}")
    for name, loss in objective.LOSSES.items()
    for task in loss.tasks
]
# A third class that most labels do not have.
WEIGHTS = (0.5, 2.0, 3.0, 1.0)


def weights_of(classes):
    return WEIGHTS[: classes.count]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_loss_falls_when_logits_follow_their_gradient(name, task):
    classes = classes_of(task)
    logits, labels = random_logits(classes), random_labels(classes)
    before, gradient = loss_and_gradient(logits, labels, classes, loss=name)
    after, _ = loss_and_gradient(logits - gradient, labels, classes, loss=name)
    assert np.isfinite(before)
    assert after < before


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("top_k_percent_pixels", [1.0, 0.5])
def test_ignored_pixels_do_not_change_loss_or_gradient(name, task, top_k_percent_pixels):
    classes = classes_of(task)
    settings = {"loss": name, "top_k_percent_pixels": top_k_percent_pixels}
    logits, labels = random_logits(classes), random_labels(classes)
    labels[:, 1] = IGNORE
    loss, gradient = loss_and_gradient(logits, labels, classes, **settings)
    assert not gradient[:, 1].any()
    assert gradient[:, 0].any()
    logits[:, 1] = random_logits(classes, seed=5)[:, 1]
    other_loss, other_gradient = loss_and_gradient(logits, labels, classes, **settings)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("top_k_percent_pixels", [1.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_empty_batch_has_no_loss_and_no_gradient(name, task, top_k_percent_pixels, weighted):
    classes = classes_of(task)
    loss, gradient = loss_and_gradient(
        random_logits(classes),
        np.full_like(random_labels(classes), IGNORE),
        classes,
        loss=name,
        top_k_percent_pixels=top_k_percent_pixels,
        label_weights=weights_of(classes) if weighted else None,
    )
    assert loss == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_class_weights_scale_the_gradients_of_their_class(name, task):
    classes = classes_of(task)
    logits, labels = random_logits(classes), random_labels(classes)
    plain_loss, plain = loss_and_gradient(logits, labels, classes, loss=name)
    loss, gradient = loss_and_gradient(
        logits, labels, classes, loss=name, label_weights=weights_of(classes)
    )
    assert loss != pytest.approx(plain_loss)
    changed = np.abs(gradient) / np.maximum(np.abs(plain), 1e-9)
    assert changed.min() < 1.0 < changed.max()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_class_of_weight_zero_has_no_gradient(name, task):
    classes = classes_of(task)
    labels = random_labels(classes)
    _, gradient = loss_and_gradient(
        random_logits(classes),
        labels,
        classes,
        loss=name,
        label_weights=(0.0, *weights_of(classes)[1:]),
    )
    if tasks.of(classes).is_exclusive:
        assert not gradient[labels[..., 0] == 0].any()
    else:
        assert not gradient[..., 0].any()
    assert gradient.any()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_logits_may_be_smaller_than_labels(name, task):
    classes = classes_of(task)
    logits, labels = random_logits(classes), random_labels(classes, size=(2, 9, 13))
    for upsample_logits in (True, False):
        loss, gradient = loss_and_gradient(
            logits, labels, classes, loss=name, upsample_logits=upsample_logits
        )
        assert np.isfinite(loss)
        assert gradient.shape == logits.shape


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_loss_that_is_not_a_number_is_not_hidden(name, task):
    classes = classes_of(task)
    logits = random_logits(classes)
    logits[0, 0, 0] = np.nan
    assert np.isnan(loss_and_gradient(logits, random_labels(classes), classes, loss=name)[0])


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_count_of_pixels_is_averaged_over_ranks(name, task):
    classes = classes_of(task)
    logits, labels = random_logits(classes), random_labels(classes)
    alone, _ = loss_and_gradient(logits, labels, classes, loss=name)
    shared, _ = loss_and_gradient(
        logits, labels, classes, loss=name, average=lambda values: [2.0 * value for value in values]
    )
    assert shared == pytest.approx(alone / 2, rel=1e-6)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_loss_of_a_task_is_there_and_fits(task):
    assert task in objective.of(LossOptions(), tasks.TASKS[task]).tasks


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"cross.* --loss.*binary_cross_entropy, cross_entropy"):
        objective.check(LossOptions(loss="cross"), classes_of("binary"))


@pytest.mark.parametrize(
    ("name", "task", "fitting"),
    [
        ("cross_entropy", "binary", "binary_cross_entropy"),
        ("cross_entropy", "multilabel", "binary_cross_entropy"),
        ("binary_cross_entropy", "multiclass", "cross_entropy"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(name, task, fitting):
    with pytest.raises(OptionError, match=rf"--loss={name}.*--task={task}.*: {fitting}"):
        objective.check(LossOptions(loss=name), classes_of(task))


def test_a_wrong_number_of_class_weights_is_refused():
    classes = classes_of("multiclass")
    with pytest.raises(OptionError, match=r"--label_weights has 2 values.* 4 classes"):
        objective.check(LossOptions(label_weights=(1.0, 2.0)), classes)
    objective.check(LossOptions(), classes)
    objective.check(LossOptions(label_weights=WEIGHTS), classes)


def test_outputs_are_weighted_added_and_collected():
    classes = ClassSet(("a", "b", "c"))
    outputs = {
        name: (tf.constant(random_logits(classes, seed)), weight)
        for name, seed, weight in (("merged", 0, 1.0), ("0.50", 3, 1.0), ("auxiliary", 4, 0.4))
    }
    total = objective.build(outputs, tf.constant(random_labels(classes)), classes, Context())
    with tf.Session() as session:
        each, value = session.run([tf.losses.get_losses(), total])
    assert len(each) == 3
    assert value == pytest.approx(each[0] + each[1] + 0.4 * each[2], rel=1e-6)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("upsample_logits", [True, False])
def test_logits_and_labels_are_resized_as_the_architecture_does(align_corners, upsample_logits):
    classes = ClassSet(("a", "b", "c"))
    options = LossOptions(upsample_logits=upsample_logits)
    outputs = {"merged": (tf.zeros([1, 5, 5, 3]), 1.0)}
    labels = tf.zeros([1, 9, 9, 1], tf.int32)
    objective.build(outputs, labels, classes, Context(options, align_corners=align_corners))
    resizes = [op for op in tf.get_default_graph().get_operations() if "Resize" in op.type]
    assert {op.type == "ResizeBilinear" for op in resizes} == {upsample_logits}
    assert {op.get_attr("align_corners") for op in resizes} == {align_corners}
    assert {op.get_attr("half_pixel_centers") for op in resizes} == {not align_corners}

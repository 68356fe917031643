"""What every loss must do, for each task that it can train."""

import numpy as np
import pytest

from core import task as tasks
from core.losses import Context, objective
from options.loss import LossOptions
from tests.small_losses import (
    IGNORE,
    all_losses,
    blocks,
    classes_of,
    random_labels,
    random_logits,
)
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

OURS = tuple(name for name in objective.LOSSES if "." not in name)
# The exact forms of other systems, and parameters where the defaults leave paths out.
OTHERS = (
    *(name for name in objective.LOSSES if "." in name),
    *("dice(over=image,squared=true)", "jaccard(over=image)", "lovasz(over=image)"),
    *("cross_entropy(label_smoothing=0.1)", "cross_entropy(reduction=weighted_mean)"),
    *("binary_cross_entropy(label_smoothing=0.1)", "bootstrapped_cross_entropy(k=5)"),
    *("boundary(over=batch)", "focal(gamma=0.5)", "iou(over=image)"),
    *("keras.BinaryCrossentropy(of=logits)", "keras.Hinge(of=logits)"),
    "keras.MeanSquaredLogarithmicError(of=logits)",
    *("keras.CategoricalCrossentropy(of=logits)", "keras.CosineSimilarity(of=logits)"),
)
# Sums, and means over a number that is the same in all ranks.
NOT_AVERAGED = {
    *("bootstrapped_cross_entropy", "bootstrapped_cross_entropy(k=5)"),
    *("musket.f1_loss", "musket.focal_loss", "musket.l2_loss"),
}
WEIGHTS = (0.5, 2.0, 3.0, 1.0)
SIZE = (2, 9, 12)


def names_of(task, expressions, *, mining=False):
    """Returns the expressions that train a task, as a tuple."""
    found = []
    for text in expressions:
        loss = objective.LOSSES[text.split("(")[0]]
        if task in loss.tasks and (not mining or (loss.mines and "reduction" not in text)):
            found.append(text)
    return tuple(found)


def cases(**settings):
    return [
        pytest.param(name, task, id=f"{name}-{task}", marks=marks)
        for expressions, marks in ((OURS, ()), (OTHERS, pytest.mark.slow))
        for task in tasks.TASKS
        for name in names_of(task, expressions, **settings)
    ]


CASES, MINING = cases(), cases(mining=True)


def example(task, seed=0):
    """Returns classes, logits and labels."""
    classes = classes_of(task)
    return classes, 2.0 * random_logits(classes, seed, SIZE), blocks(classes, 1, SIZE)


def run(name, logits, labels, classes, **settings):
    """Returns loss and gradient of one loss; those of all others are computed with it."""
    mining = settings.get("top_k_percent_pixels", 1.0) < 1.0
    names = names_of(classes.task, OURS if name in OURS else OTHERS, mining=mining)
    return all_losses(logits, labels, classes, names, **settings)[name]


def weights_of(classes):
    return WEIGHTS[: classes.count]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_gradient_is_the_slope_of_the_loss(name, task):
    classes, logits, labels = example(task)
    loss, gradient = run(name, logits, labels, classes)
    assert np.isfinite(loss)
    norm = np.linalg.norm(gradient)
    assert norm > 0.0
    step = 0.05 * gradient / norm
    above, _ = run(name, logits + step, labels, classes)
    below, _ = run(name, logits - step, labels, classes)
    assert below < loss < above
    assert (above - below) / 0.1 == pytest.approx(norm, rel=0.03)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_ignored_pixels_do_not_change_loss_or_gradient(name, task):
    _ignored_have_no_effect(name, task)


@pytest.mark.parametrize(("name", "task"), MINING)
def test_ignored_pixels_are_not_mined(name, task):
    _ignored_have_no_effect(name, task, top_k_percent_pixels=0.5)


def _ignored_have_no_effect(name, task, **settings):
    classes, logits, labels = example(task)
    labels[:, 3:6] = IGNORE
    labels[1, 7, 4:] = IGNORE
    ignored = np.broadcast_to(labels == IGNORE, logits.shape)
    loss, gradient = run(name, logits, labels, classes, **settings)
    assert not gradient[ignored].any()
    assert gradient[~ignored].any()
    logits[ignored] = 10.0 * random_logits(classes, 5, SIZE)[ignored]
    other_loss, other_gradient = run(name, logits, labels, classes, **settings)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_an_empty_batch_has_no_loss_and_no_gradient(name, task, weighted):
    classes, logits, labels = example(task)
    settings = {"label_weights": weights_of(classes)} if weighted else {}
    loss, gradient = run(name, logits, np.full_like(labels, IGNORE), classes, **settings)
    assert loss == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(("name", "task"), MINING)
def test_mining_in_an_empty_batch_has_no_loss_and_no_gradient(name, task):
    classes, logits, labels = example(task)
    loss, gradient = run(
        name, logits, np.full_like(labels, IGNORE), classes, top_k_percent_pixels=0.5
    )
    assert loss == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_logits_have_a_finite_loss_and_gradient(name, task, value):
    classes, logits, labels = example(task)
    logits = np.where(logits > 0, np.float32(value), np.float32(-value))
    for extreme in (logits, np.full_like(logits, value)):
        loss, gradient = run(name, extreme, labels, classes)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_a_single_class_have_a_finite_loss_and_gradient(name, task, label):
    classes, logits, labels = example(task)
    for found in (logits, np.zeros_like(logits)):
        loss, gradient = run(name, found, np.full_like(labels, label), classes)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_class_weights_scale_the_gradients_of_their_class(name, task):
    classes, logits, labels = example(task)
    plain_loss, plain = run(name, logits, labels, classes)
    loss, gradient = run(name, logits, labels, classes, label_weights=weights_of(classes))
    assert loss != pytest.approx(plain_loss)
    has_slope = np.abs(plain) > 1e-9 * np.abs(plain).max()
    changed = np.abs(gradient)[has_slope] / np.abs(plain)[has_slope]
    assert changed.min() < 1.0 < changed.max()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_class_of_weight_zero_has_no_gradient(name, task):
    classes, logits, labels = example(task)
    weights = (0.0, *weights_of(classes)[1:])
    _, gradient = run(name, logits, labels, classes, label_weights=weights)
    if tasks.of(classes).is_exclusive:
        assert not gradient[labels[..., 0] == 0].any()
    else:
        assert not gradient[..., 0].any()
    # Without a background that counts a binary object has no boundary.
    assert gradient.any() == (task != "binary" or not name.startswith("boundary"))


@pytest.mark.parametrize("task", tasks.TASKS)
@pytest.mark.parametrize("upsample_logits", [True, False])
def test_logits_may_be_smaller_than_labels(task, upsample_logits):
    classes = classes_of(task)
    logits, labels = random_logits(classes, size=(2, 3, 4)), blocks(classes)
    settings = {"upsample_logits": upsample_logits}
    names = ("dice", "l2", "lovasz", objective.expression_of(LossOptions(), tasks.of(classes)).text)
    for loss, gradient in all_losses(logits, labels, classes, names, **settings).values():
        assert np.isfinite(loss)
        assert gradient.shape == logits.shape


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_loss_that_is_not_a_number_is_not_hidden(name, task):
    classes, logits, labels = example(task)
    logits[0, 0, 0] = np.nan
    assert np.isnan(run(name, logits, labels, classes)[0])


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_number_of_what_counts_is_averaged_over_ranks(name, task):
    classes, logits, labels = example(task)
    alone, _ = run(name, logits, labels, classes)
    shared, _ = run(name, logits, labels, classes, rank_factor=2.0)
    assert shared == pytest.approx(alone / (1 if name in NOT_AVERAGED else 2), rel=1e-6)


def of_ranks(logits, labels, classes, names):
    """Returns name -> the mean over two ranks of their losses; each has half of the images.

    Every number that they average is fetched first, then shared.
    """
    halves = [(logits[place], labels[place]) for place in (slice(0, 2), slice(2, 4))]
    numbers, losses = {}, {}
    with tf.Graph().as_default(), tf.Session() as session:

        def build(name, half, average):
            outputs = {"merged": (tf.constant(half[0]), 1.0)}
            context = Context(LossOptions(loss=name), average=average)
            return objective.build(outputs, tf.constant(half[1]), classes, context)

        for name in names:
            found = [[], []]
            for own, half in zip(found, halves):
                build(name, half, lambda values, own=own: own.extend(values) or values)
            numbers[name] = [(one + other) / 2 for one, other in zip(*found)]
        shared = session.run(numbers)
        for name in names:
            losses[name] = [build(name, half, lambda _, name=name: shared[name]) for half in halves]
        return {name: np.mean(values) for name, values in session.run(losses).items()}


@pytest.mark.once
@pytest.mark.parametrize(
    "task",
    [
        "multiclass",
        *(pytest.param(task, marks=pytest.mark.slow) for task in ("binary", "multilabel")),
    ],
)
def test_the_mean_over_ranks_is_the_loss_of_all_images(task):
    classes = classes_of(task)
    size = (4, *SIZE[1:])
    logits, labels = random_logits(classes, 0, size), blocks(classes, 1, size)
    labels[0] = IGNORE
    labels[2, :4] = IGNORE
    entropy = objective.expression_of(LossOptions(), tasks.of(classes)).text
    exact = (
        *(entropy, "focal", "l2", "bootstrapped_cross_entropy(k=5)", "boundary"),
        *(f"{name}(over=image)" for name in ("dice", "jaccard", "iou", "tversky", "f1", "lovasz")),
        "musket.iou_loss",
    )
    found = of_ranks(logits, labels, classes, (*exact, "dice"))
    whole = all_losses(logits, labels, classes, (*exact, "dice"))
    for name in exact:
        assert found[name] == pytest.approx(whole[name][0], rel=1e-5), name
    # Over a batch it is the mean of the ranks' losses.
    assert found["dice"] != pytest.approx(whole["dice"][0], rel=1e-3)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_loss_of_a_task_is_there_and_fits(task):
    objective.check(LossOptions(), classes_of(task))


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"--loss: cross .*binary_cross_entropy.* cross_entropy"):
        objective.check(LossOptions(loss="cross"), classes_of("binary"))


@pytest.mark.parametrize(
    ("name", "task", "fitting"),
    [
        ("cross_entropy", "binary", "binary_cross_entropy"),
        ("cross_entropy", "multilabel", "binary_cross_entropy"),
        ("binary_cross_entropy", "multiclass", "cross_entropy"),
        ("musket.lovasz_loss", "multilabel", "lovasz"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(name, task, fitting):
    with pytest.raises(OptionError, match=rf"{name} .*--task={task}: .*\b{fitting}\b"):
        objective.check(LossOptions(loss=name), classes_of(task))


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("dice + cross_entropy(smooth=1)", r"smooth of cross_entropy is unknown.*reduction", 7),
        ("dice(smooth=-1)", r"smooth of dice is -1.*at least 0", 0),
        ("cross_entropy(label_smoothing=2)", r"is 2.*at most 1", 0),
        ("dice(over=pixel)", r"over of dice must be batch or image", 0),
        ("dice(smooth=little)", r"smooth of dice is little.*number", 0),
        ("boundary(width=2.5)", r"width of boundary is 2.5.*integer", 0),
        ("focal(alpha=0.5)", r"alpha of focal has no effect with --task=multiclass", 0),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_place(text, message, column):
    with pytest.raises(OptionError, match=message) as caught:
        objective.check(LossOptions(loss=text), classes_of("multiclass"))
    assert str(caught.value).splitlines()[-1] == " " * (2 + column) + "^"


@pytest.mark.parametrize("text", ["dice", "cross_entropy+dice", "cross_entropy(reduction=sum)"])
def test_mining_without_effect_is_refused(text):
    with pytest.raises(OptionError, match=r"--top_k_percent_pixels=0.5"):
        objective.check(LossOptions(loss=text, top_k_percent_pixels=0.5), classes_of("multiclass"))


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


def test_an_expression_is_the_weighted_sum_of_its_losses():
    classes, logits, labels = example("binary")
    names = ("binary_cross_entropy", "dice", "iou", "0.5*(binary_crossentropy-2*dice)+1e-1*iou")
    found = all_losses(logits, labels, classes, names)
    (entropy, entropy_slope), (dice, dice_slope), (iou, iou_slope), (loss, slope) = (
        found[name] for name in names
    )
    assert loss == pytest.approx(0.5 * entropy - dice + 0.1 * iou, rel=1e-5)
    expected = 0.5 * entropy_slope - dice_slope + 0.1 * iou_slope
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-8)


def test_each_output_has_the_loss_of_its_name():
    classes, logits, labels = example("multiclass")
    alone = all_losses(logits, labels, classes, ("cross_entropy", "dice"))

    def losses(text):
        with tf.Graph().as_default(), tf.Session() as session:
            outputs = {name: (tf.constant(logits), 1.0) for name in ("merged", "aux", "0.50")}
            context = Context(LossOptions(loss=text))
            objective.build(outputs, tf.constant(labels), classes, context)
            return session.run(tf.losses.get_losses())

    dice, entropy = alone["dice"][0], alone["cross_entropy"][0]
    assert losses("dice; aux: 2*cross_entropy") == pytest.approx([dice, 2 * entropy, dice])
    found = losses("0.50: dice; aux: cross_entropy; merged: dice+cross_entropy")
    assert found == pytest.approx([dice + entropy, entropy, dice])
    with pytest.raises(OptionError, match=r"no loss for the output 0.50"):
        losses("merged: dice; aux: dice")
    with pytest.raises(OptionError, match=r"output auxiliary.*merged, aux, 0.50"):
        losses("dice; auxiliary: dice")


def test_the_description_says_what_a_bare_keras_name_means():
    options = LossOptions(loss="binary_crossentropy+0.1*dice_loss")
    text = objective.describe(options, classes_of("binary"))
    assert "binary_crossentropy is binary_cross_entropy of this project" in text
    assert "musket.dice_loss" in text
    assert objective.describe(LossOptions(), classes_of("binary")).startswith(
        "binary_cross_entropy (the default"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, np.log(4)), ("2*cross_entropy", 2 * np.log(4)), ("dice", None), ("dice+l2", None)],
)
def test_the_loss_at_chance_is_known_of_cross_entropy_only(text, expected):
    found = objective.at_chance(LossOptions(loss=text), classes_of("multiclass"))
    assert found == (None if expected is None else pytest.approx(expected))


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

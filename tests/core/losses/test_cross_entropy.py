"""Softmax cross entropy over pixels."""

import numpy as np
import pytest

from core.losses import Context, objective
from tests import small_losses
from tests.golden import losses as golden_losses
from tests.resources import golden_folder, golden_json
from tests.small_losses import classes_of
from utils.compat import tf

CLASSES = 4
IGNORE = small_losses.IGNORE
FOUR = classes_of("multiclass", CLASSES)


def random_logits(seed=0, shape=(2, 3, 4, CLASSES)):
    return small_losses.random_logits(FOUR, seed, shape[:3])


def random_labels(seed=1, shape=(2, 3, 4, 1)):
    return small_losses.random_labels(FOUR, seed, shape[:3])


def loss_and_gradient(logits, labels, **settings):
    """Returns the loss and its gradient; logits and labels are numpy arrays."""
    return small_losses.loss_and_gradient(logits, labels, FOUR, **settings)


def pixel_losses(logits, labels):
    """Returns cross entropies in float64, [N, h, w]; ignored pixels have 0."""
    logits = logits.astype(np.float64)
    log_partition = np.log(np.exp(logits).sum(axis=3))
    picked = np.take_along_axis(logits, np.minimum(labels, CLASSES - 1), axis=3)[..., 0]
    return np.where(labels[..., 0] == IGNORE, 0.0, log_partition - picked)


def golden_cases():
    manifest = golden_json("losses.json")
    return manifest, [case for case in manifest["cases"] if golden_losses.is_supported(case)]


def test_all_cases_of_the_reference_are_equal_but_matting():
    manifest, cases = golden_cases()
    assert [case["name"] for case in manifest["cases"] if case not in cases] == ["matting"]
    stored = np.load(golden_folder() / "losses.npz")
    for case in cases:
        actual = golden_losses.recompute_case(manifest, case)
        name = case["name"]
        np.testing.assert_allclose(actual["loss"], case["loss"], rtol=1e-5, err_msg=name)
        assert actual["counted_labels"] == case["counted_labels"]
        gradients = [key for key in stored.files if key.startswith(f"{name}.grad_")]
        assert len(gradients) == case.get("scales", 1)
        for key in gradients:
            gradient = actual[key[len(name) + 1 :]]
            np.testing.assert_allclose(gradient, stored[key], rtol=0, atol=1e-6, err_msg=key)


def test_the_loss_is_the_mean_over_pixels():
    logits, labels = random_logits(), random_labels()
    loss, _ = loss_and_gradient(logits, labels)
    assert loss == pytest.approx(pixel_losses(logits, labels).mean(), rel=1e-6)


def test_class_weights_do_not_change_the_denominator():
    logits, labels = random_logits(), random_labels()
    weights = (0.5, 1.0, 2.0, 0.0)
    loss, _ = loss_and_gradient(logits, labels, label_weights=weights)
    weighted = pixel_losses(logits, labels) * np.array(weights)[labels[..., 0]]
    assert loss == pytest.approx(weighted.mean(), rel=1e-6)


def test_a_single_labelled_pixel_is_not_averaged_away():
    logits, labels = random_logits(), random_labels()
    labels.flat[1:] = IGNORE
    loss, _ = loss_and_gradient(logits, labels)
    assert loss == pytest.approx(pixel_losses(logits, labels)[0, 0, 0], rel=1e-6)


@pytest.mark.parametrize("label", [CLASSES, CLASSES + 3])
def test_labels_beyond_the_classes_have_no_loss_but_count(label):
    logits, labels = random_logits(), random_labels()
    expected = pixel_losses(logits, labels)
    expected[:, 0] = 0.0
    labels[:, 0] = label
    loss, gradient = loss_and_gradient(logits, labels)
    assert loss == pytest.approx(expected.mean(), rel=1e-6)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
    np.testing.assert_allclose(gradient[:, 0], softmax[:, 0] / labels.size, atol=1e-7)


def test_with_class_weights_labels_beyond_the_classes_have_no_gradient():
    logits, labels = random_logits(), random_labels()
    labels[:, 0] = CLASSES + 3
    _, gradient = loss_and_gradient(logits, labels, label_weights=(2.0, 1.0, 1.0, 1.0))
    assert not gradient[:, 0].any()
    assert gradient[:, 1:].any()


def test_the_sum_is_over_the_mean_number_of_pixels_of_all_ranks():
    logits, labels = random_logits(), random_labels()
    labels[:, 0] = IGNORE
    alone, _ = loss_and_gradient(logits, labels)
    # The other rank has no ignored pixel: 24, and 16 here.
    shared, _ = loss_and_gradient(
        logits, labels, average=lambda values: [(value + 24.0) / 2 for value in values]
    )
    assert shared == pytest.approx(alone * 16 / 20, rel=1e-6)


def test_the_hardest_pixels_are_mined():
    logits, labels = random_logits(), random_labels()
    loss, gradient = loss_and_gradient(logits, labels, top_k_percent_pixels=0.25)
    hardest = np.sort(pixel_losses(logits, labels).ravel())[-6:]
    assert loss == pytest.approx(hardest.mean(), rel=1e-6)
    assert np.count_nonzero(np.abs(gradient).sum(axis=3)) == 6


@pytest.mark.parametrize(("step", "count"), [(0, 24), (50, 15), (100, 6), (1000, 6)])
def test_mining_ramps_up(step, count):
    logits, labels = random_logits(), random_labels()
    loss, gradient = loss_and_gradient(
        logits,
        labels,
        top_k_percent_pixels=0.25,
        hard_example_mining_step=100,
        global_step=step,
    )
    hardest = np.sort(pixel_losses(logits, labels).ravel())[-count:]
    assert loss == pytest.approx(hardest.mean(), rel=1e-6)
    assert np.count_nonzero(np.abs(gradient).sum(axis=3)) == count


def test_mining_more_pixels_than_are_labelled_counts_the_labelled_ones():
    logits, labels = random_logits(), random_labels()
    labels[:, :2] = IGNORE
    loss, _ = loss_and_gradient(logits, labels, top_k_percent_pixels=0.75)
    assert loss == pytest.approx(pixel_losses(logits, labels).sum() / 8, rel=1e-6)


def test_labels_are_downsampled_if_logits_are_not_upsampled():
    logits, labels = random_logits(), random_labels(shape=(2, 9, 13, 1))
    loss, _ = loss_and_gradient(logits, labels, upsample_logits=False)
    # With aligned corners every fourth label meets a logit.
    assert loss == pytest.approx(pixel_losses(logits, labels[:, ::4, ::4]).mean(), rel=1e-6)


def test_upsampled_logits_of_a_constant_image_have_the_loss_of_one_pixel():
    logits = np.tile(random_logits(shape=(1, 1, 1, CLASSES)), [2, 3, 4, 1])
    labels = np.full([2, 9, 13, 1], 2, np.int32)
    loss, _ = loss_and_gradient(logits, labels)
    assert loss == pytest.approx(pixel_losses(logits, labels[:, :3, :4]).mean(), rel=1e-6)


def test_no_tensor_holds_one_hot_labels():
    size, classes = 33, 50
    logits = tf.zeros([1, 5, 5, classes])
    labels = tf.zeros([1, size, size, 1], tf.int32)
    objective.build({"merged": (logits, 1.0)}, labels, classes_of("multiclass", classes), Context())
    types = {operation.type for operation in tf.get_default_graph().get_operations()}
    assert "OneHot" not in types

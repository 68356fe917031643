"""The layers: equal to slim's where slim works, and to arithmetic elsewhere."""

import dataclasses

import numpy as np
import pytest

from core import layers
from utils.compat import VERSION, slim, tf

TRAINS = layers.Mode(is_training=True, fine_tune_batch_norm=True)


def _run(fetches, feeds=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def _noise(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def _variable_shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


def _dilated(kernel, rate):
    """Returns the kernel with rate - 1 zeros between its elements."""
    height, width = kernel.shape[:2]
    shape = ((height - 1) * rate[0] + 1, (width - 1) * rate[1] + 1, *kernel.shape[2:])
    dilated = np.zeros(shape, kernel.dtype)
    dilated[:: rate[0], :: rate[1]] = kernel
    return dilated


# Convolution.


def test_a_convolution_may_have_neither_normalizer_nor_biases():
    images = _noise(1, 4, 5, 3)
    outputs = layers.conv2d(tf.constant(images), 2, 1, use_biases=False, scope="plain")
    assert _variable_shapes() == {"plain/weights": [1, 1, 3, 2]}
    found, weights = _run([outputs, "plain/weights:0"])
    np.testing.assert_allclose(found, np.maximum(images @ weights[0, 0], 0.0), atol=1e-5)


# Batch norm.


@pytest.mark.parametrize("layer", [layers.conv2d, layers.conv2d_transpose])
def test_a_kernel_need_not_be_square(layer):
    layer(tf.zeros([1, 4, 5, 3]), 3, (1, 3), scope="conv")
    assert tf.model_variables()[0].shape.as_list() == [1, 3, 3, 3]


def test_batch_norm_in_training_normalizes_by_batch_statistics():
    images = _noise(3, 5, 4, 2) * 3.0 + 7.0
    outputs = _run(layers.batch_norm(tf.constant(images), mode=TRAINS))
    expected = (images - images.mean((0, 1, 2))) / np.sqrt(images.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_batch_norm_moves_its_averages_towards_the_unbiased_batch_statistics():
    images = _noise(3, 5, 4, 2) * 3.0 + 7.0
    layers.batch_norm(tf.constant(images), decay=0.9, mode=TRAINS, scope="norm")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        mean, variance = session.run(["norm/moving_mean:0", "norm/moving_variance:0"])
    np.testing.assert_allclose(mean, 0.1 * images.mean((0, 1, 2)), rtol=1e-5)
    expected = 0.9 + 0.1 * images.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(variance, expected, rtol=1e-5)


def test_batch_norm_over_all_ranks_moves_its_averages_towards_the_unbiased_statistics_of_all():
    # Two ranks with the same images: their statistics are those of one, of twice as many values.
    images = _noise(3, 5, 4, 2) * 3.0 + 7.0
    mode = layers.Mode(True, True, device=layers.DeviceLayers(average=list, ranks=2))
    outputs = layers.batch_norm(tf.constant(images), 0.9, mode=mode, scope="norm")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        outputs = session.run(outputs)
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        variance = session.run("norm/moving_variance:0")
    np.testing.assert_allclose(outputs.var((0, 1, 2)), 1.0, rtol=1e-4)
    expected = 0.9 + 0.1 * images.var((0, 1, 2)) * 120 / 119
    np.testing.assert_allclose(variance, expected, rtol=1e-5)


def test_batch_norm_in_inference_uses_moving_averages_and_updates_nothing():
    images = _noise(2, 3, 3, 2)
    outputs = layers.batch_norm(tf.constant(images), epsilon=0.5)
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    np.testing.assert_allclose(_run(outputs), images / np.sqrt(1.5), rtol=1e-5)


def test_shared_batch_norm_updates_its_averages_one_after_the_other():
    first, second = _noise(1, 4, 4, 2, seed=1) + 1.0, _noise(1, 4, 4, 2, seed=2) - 5.0
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        for images in (first, second):
            layers.batch_norm(tf.constant(images), decay=0.5, mode=TRAINS, scope="norm")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        mean = session.run("net/norm/moving_mean:0")
    expected = 0.5 * (0.5 * first.mean((0, 1, 2))) + 0.5 * second.mean((0, 1, 2))
    np.testing.assert_allclose(mean, expected, rtol=1e-5)


def test_batch_norm_without_gamma_scales_by_one_and_freezes_with_its_beta():
    images = _noise(2, 5, 4, 2) * 3.0 + 7.0
    outputs = layers.batch_norm(tf.constant(images), mode=TRAINS, scale=False, scope="norm")
    assert set(_variable_shapes()) == {
        f"norm/{part}" for part in ("beta", "moving_mean", "moving_variance")
    }
    expected = (images - images.mean((0, 1, 2))) / np.sqrt(images.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(_run(outputs), expected, atol=1e-5)
    updates = len(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    frozen = dataclasses.replace(TRAINS, is_frozen=lambda name: name == "frozen/beta")
    layers.batch_norm(tf.constant(images), mode=frozen, scale=False, scope="frozen")
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == updates


@pytest.mark.parametrize(
    ("form", "fine_tune", "uses_batch"),
    [
        (layers.FROZEN_INFERENCE, True, False),
        (layers.FROZEN_AFFINE, True, False),
        (layers.FROZEN_STATISTICS, False, True),
    ],
)
def test_a_frozen_batch_norm_has_its_form_whatever_the_others_do(form, fine_tune, uses_batch):
    mode = layers.Mode(
        is_training=True,
        fine_tune_batch_norm=fine_tune,
        is_frozen=lambda name: name.startswith("frozen/"),
        frozen_batch_norm=form,
    )
    images = _noise(2, 5, 4, 2) * 3.0 + 7.0
    for scope, is_batch in (("frozen", uses_batch), ("free", fine_tune)):
        del tf.get_collection_ref(tf.GraphKeys.UPDATE_OPS)[:]
        outputs = layers.batch_norm(tf.constant(images), mode=mode, scope=scope)
        assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * is_batch
        normalized = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
        np.testing.assert_allclose(_run(outputs), normalized if is_batch else images, atol=1e-4)


def test_the_missing_gamma_of_many_channels_is_a_constant_that_exports_can_fold():
    outputs = layers.batch_norm(tf.zeros([1, 1, 1, 1536]), scale=False)
    assert outputs.op.inputs[1].op.type == "Const"


@pytest.mark.skipif(VERSION >= (2, 9), reason="slim.batch_norm does not work on this TensorFlow")
@pytest.mark.parametrize("mode", [layers.INFERENCE, TRAINS])
def test_batch_norm_equals_that_of_slim(mode):
    images = tf.constant(_noise(2, 5, 5, 3) * 2.0 + 1.0)
    settings = {"decay": 0.9, "epsilon": 1e-3}
    ours = layers.batch_norm(images, mode=mode, scope="ours", **settings)
    settings.update(scale=True, fused=True, is_training=mode.is_training)
    theirs = slim.batch_norm(images, scope="theirs", **settings)
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([ours, theirs]))
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        for name in names:
            values = session.run([f"ours/{name}:0", f"theirs/{name}:0"])
            np.testing.assert_allclose(*values, rtol=1e-6)


# Convolutions.


@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"rate": 3}, {"padding": "VALID"}])
def test_conv2d_equals_that_of_slim(settings):
    images = tf.constant(_noise(2, 12, 11, 3))
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        ours = layers.conv2d(images, 4, 3, scope="conv", **settings)
        theirs = slim.conv2d(images, 4, 3, scope="conv", **settings)
    assert _variable_shapes() == {"net/conv/weights": [3, 3, 3, 4], "net/conv/biases": [4]}
    np.testing.assert_allclose(*_run([ours, theirs]), atol=1e-5)


@pytest.mark.parametrize("rate", [(1, 1), (2, 2), (1, 4), (5, 3)])
def test_depthwise_convolution_equals_one_with_a_dilated_kernel(rate):
    images = tf.constant(_noise(2, 9, 13, 3))
    outputs = layers.depthwise_conv2d(images, 3, rate=rate, activation_fn=None, scope="depthwise")
    assert _variable_shapes() == {
        "depthwise/depthwise_weights": [3, 3, 3, 1],
        "depthwise/biases": [3],
    }
    weights = tf.trainable_variables()[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        kernel, actual = session.run([weights, outputs])
        expected = session.run(
            tf.nn.depthwise_conv2d(images, _dilated(kernel, rate), [1, 1, 1, 1], "SAME")
        )
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_gradient_of_an_atrous_depthwise_convolution_is_right():
    images = tf.constant(_noise(1, 9, 9, 3))
    outputs = layers.depthwise_conv2d(images, 3, rate=2, activation_fn=None)
    weights = tf.trainable_variables()[0]
    gradient = tf.gradients(tf.nn.l2_loss(outputs), weights)[0]
    # Of a dilated kernel the same elements have the same gradients.
    kernel = tf.placeholder(tf.float32, [5, 5, 3, 1])
    dense = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
    dense_gradient = tf.gradients(tf.nn.l2_loss(dense), kernel)[0][::2, ::2]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values, actual = session.run([weights, gradient])
        expected = session.run(dense_gradient, {kernel: _dilated(values, (2, 2))})
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(9, 9), (8, 8), (8, 11)])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_a_strided_conv2d_same_equals_a_dense_one_subsampled(size, kernel_size):
    images = tf.constant(_noise(1, *size, 3))
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
        strided = layers.conv2d_same(images, 2, kernel_size, 2, scope="conv")
        dense = layers.conv2d_same(images, 2, kernel_size, 1, scope="conv")
    np.testing.assert_allclose(*_run([strided, dense[:, ::2, ::2]]), atol=1e-5)


def test_an_even_kernel_of_conv2d_same_begins_at_the_image():
    # What is left of an odd padding goes to the bottom and right, as in the DeepLab family.
    images = _noise(1, 4, 4, 1)
    outputs = layers.conv2d_same(tf.constant(images), 1, 2, 2, activation_fn=None, scope="conv")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        kernel, outputs = session.run(["conv/weights:0", outputs])
    expected = (images[0, :2, :2, 0] * kernel[..., 0, 0]).sum()
    np.testing.assert_allclose(outputs[0, 0, 0, 0], expected, rtol=1e-5)


def test_a_split_separable_convolution_has_both_parts_normalized():
    with layers.arg_scope(layers.Mode(weight_decay=1e-4), decay=0.9):
        outputs = layers.split_separable_conv2d(tf.zeros([1, 9, 9, 3]), 5, scope="conv")
    assert outputs.shape.as_list() == [1, 9, 9, 5]
    shapes = _variable_shapes()
    assert shapes["conv_depthwise/depthwise_weights"] == [3, 3, 3, 1]
    assert shapes["conv_pointwise/weights"] == [1, 1, 3, 5]
    assert shapes["conv_depthwise/BatchNorm/gamma"] == [3]
    assert shapes["conv_pointwise/BatchNorm/moving_variance"] == [5]
    assert not [name for name in shapes if name.endswith("biases")]


# Regularisation, dropout.


def test_only_convolution_weights_are_regularized():
    with layers.arg_scope(layers.Mode(True, True, 0.5), decay=0.9):
        layers.conv2d(tf.zeros([1, 5, 5, 3]), 2, 3, scope="conv")
        layers.depthwise_conv2d(tf.zeros([1, 5, 5, 3]), 3, scope="depthwise")
    (loss,) = tf.losses.get_regularization_losses()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        weights, value = session.run(["conv/weights:0", loss])
    assert value == pytest.approx(0.5 * np.sum(weights.astype(np.float64) ** 2) / 2, rel=1e-5)


def test_shared_weights_are_regularized_once():
    with tf.variable_scope("net", reuse=tf.AUTO_REUSE), layers.arg_scope(
        layers.Mode(True, True, 0.5), decay=0.9
    ):
        for _ in range(2):
            layers.conv2d(tf.zeros([1, 5, 5, 3]), 2, 3, scope="conv")
    assert len(tf.losses.get_regularization_losses()) == 1


def test_without_weight_decay_there_is_no_regularization():
    with layers.arg_scope(layers.Mode(True, True), decay=0.9):
        layers.conv2d(tf.zeros([1, 5, 5, 3]), 2, 3)
    assert not tf.losses.get_regularization_losses()


def test_dropout_scales_what_it_keeps_and_acts_in_training_only():
    ones = tf.ones([100, 100])
    assert layers.dropout(ones, 0.8, layers.INFERENCE) is ones
    values = _run(layers.dropout(ones, 0.8, TRAINS))
    assert set(np.unique(values)) == {np.float32(0.0), np.float32(1.25)}
    assert np.mean(values > 0) == pytest.approx(0.8, abs=0.02)


def test_dropout_depends_on_the_step_and_the_place_and_on_nothing_else():
    step = tf.train.get_or_create_global_step()
    ones = tf.ones([50, 50])
    first, second = layers.dropout(ones, 0.5, TRAINS), layers.dropout(ones, 0.5, TRAINS)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        at_zero, again, elsewhere = session.run(first), session.run(first), session.run(second)
        session.run(tf.assign_add(step, 1))
        later = session.run(first)
    np.testing.assert_array_equal(at_zero, again)
    assert (at_zero != elsewhere).any()
    assert (at_zero != later).any()


def test_ranks_drop_what_one_process_would_of_their_images():
    with tf.Graph().as_default():
        whole = _run(layers.dropout(tf.ones([4, 50]), 0.5, TRAINS))
    parts = []
    for rank in range(2):
        with tf.Graph().as_default():
            device = layers.DeviceLayers(rank=rank, ranks=2)
            mode = layers.Mode(is_training=True, device=device)
            parts.append(_run(layers.dropout(tf.ones([2, 50]), 0.5, mode)))
    np.testing.assert_array_equal(parts[0], whole[::2])
    np.testing.assert_array_equal(parts[1], whole[1::2])


# Sizes.


def test_resizing_keeps_the_corners():
    images = tf.constant(np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1))
    resized = _run(layers.resize_bilinear(images, [5, 5]))[0, :, :, 0]
    np.testing.assert_allclose(resized[0], [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(resized[:, 0], [0.0, 1.5, 3.0, 4.5, 6.0])


def test_resizing_to_the_own_size_changes_nothing():
    images = tf.zeros([1, 3, 4, 1])
    assert layers.resize_bilinear(images, [3, 4]) is images


def test_nearest_resizing_rounds_halves_up():
    images = tf.constant(np.arange(3, dtype=np.float32).reshape(1, 1, 3, 1))
    np.testing.assert_array_equal(
        _run(layers.resize_nearest(images, [1, 5]))[0, 0, :, 0], [0, 1, 1, 2, 2]
    )


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [(513, 1 / 16, 33), (513, 0.5, 257), (97, 1.75, 169), (96, 1 / 16, 6), (107, 1 / 16, 7)],
)
def test_scaled_sizes_keep_corners_aligned(size, scale, expected):
    assert layers.scaled_size(size, scale) == expected
    assert _run(layers.scaled_size(tf.constant(size), scale)) == expected


def test_the_spatial_size_is_static_where_it_is_known():
    assert layers.spatial_size(tf.zeros([1, 3, 4, 1])) == (3, 4)
    images = tf.placeholder(tf.float32, [1, None, 4, 1])
    height, width = layers.spatial_size(images)
    assert width == 4
    assert _run(height, {images: np.zeros([1, 7, 4, 1])}) == 7


def test_spatial_dropout_drops_whole_channels_in_training_only():
    images = tf.constant(np.abs(_noise(2, 4, 4, 32)) + 1.0)
    assert layers.spatial_dropout(images, 0.5, layers.INFERENCE) is images
    tf.train.get_or_create_global_step()
    inputs, found = _run([images, layers.spatial_dropout(images, 0.5, layers.Mode(True))])
    kept = found > 0.0
    assert (kept == kept[:, :1, :1]).all()
    assert 0.2 < kept[:, 0, 0].mean() < 0.8
    np.testing.assert_allclose(found, np.where(kept, 2.0 * inputs, 0.0))


@pytest.mark.parametrize("size", [(6, 8), (5, 9)])
def test_nearest_resizing_of_known_and_unknown_sizes_is_the_same(size):
    images = _noise(1, 3, 4, 2)
    any_size = tf.placeholder_with_default(images, [None, None, None, 2])
    known, unknown = _run(
        [
            layers.resize_nearest(source, size, align_corners=False)
            for source in (tf.constant(images), any_size)
        ]
    )
    rows, columns = (
        ((np.arange(large) + 0.5) * small / large).astype(int) for small, large in zip((3, 4), size)
    )
    np.testing.assert_array_equal(known, images[:, rows][:, :, columns])
    np.testing.assert_array_equal(unknown, known)

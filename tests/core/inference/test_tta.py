"""Probabilities and labels at one scale and several."""

import numpy as np
import pytest

from core import network
from core.inference import tta
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

_SIZE = (49, 65)
_CLASSES = 4
_SETTINGS = {"num_classes": _CLASSES, "crop_size": _SIZE}


def _options(**changes):
    return NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=8, output_stride=8, **changes)


def _images(batch=1):
    values = np.random.RandomState(3).uniform(0, 255, (batch, *_SIZE, 3))
    return tf.constant(values, tf.float32)


def _run(fetches):
    with tf.Session() as session:
        load_weights(session)
        return session.run(fetches)


def _softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_probabilities_sum_to_one_and_labels_are_the_largest():
    predictions = [
        tta.predict(_images(2), _options(), scales=scales, flip=flip, **_SETTINGS)
        for scales, flip in (
            ((1.0,), False),
            ((1.0,), True),
            ((0.5, 1.25), False),
            ((0.5, 1.0), True),
            ((0.75,), False),
        )
    ]
    for labels, probabilities in _run(predictions):
        assert labels.dtype == np.int32
        assert labels.shape == (2, *_SIZE)
        assert probabilities.shape == (2, *_SIZE, _CLASSES)
        np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)
        np.testing.assert_array_equal(labels, probabilities.argmax(-1))


def test_several_scales_are_averaged_with_equal_weights():
    together = tta.predict(_images(), _options(), scales=(0.5, 1.5), **_SETTINGS).probabilities
    alone = [
        tta.predict(_images(), _options(), scales=(scale,), **_SETTINGS).probabilities
        for scale in (0.5, 1.5)
    ]
    together, *alone = _run([together, *alone])
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-5)


def test_of_several_scales_logits_are_resized_and_not_probabilities():
    # Whatever the network does with one scale.
    options = _options(prediction_with_upsampled_logits=False)
    expected = 0.0
    for scale in (0.5, 1.0):
        scaled = _options(image_pyramid=(scale,))
        logits = network.build(_images(), scaled, _CLASSES, crop_size=_SIZE).logits
        logits = tf.image.resize_bilinear(logits, _SIZE, align_corners=True)
        expected += tf.nn.softmax(logits) / 2
    actual = tta.predict(_images(), options, scales=(0.5, 1.0), **_SETTINGS).probabilities
    np.testing.assert_allclose(*_run([actual, expected]), atol=1e-5)


def test_a_flip_averages_the_image_and_its_mirror_image_also_at_scale_one():
    images, mirrored = _images(), tf.reverse(_images(), [2])
    flipped = tta.predict(images, _options(), flip=True, **_SETTINGS).probabilities
    parts = [
        tta.predict(item, _options(), **_SETTINGS).probabilities for item in (images, mirrored)
    ]
    flipped, plain, mirror = _run([flipped, *parts])
    np.testing.assert_allclose(flipped, (plain + mirror[:, :, ::-1]) / 2, atol=1e-5)


def test_one_scale_uses_the_pyramid_of_the_network():
    options = _options(image_pyramid=(0.5, 1.0))
    logits = network.build(_images(), options, _CLASSES, crop_size=_SIZE).logits
    expected = tf.image.resize_bilinear(logits, _SIZE, align_corners=True)
    actual = tta.predict(_images(), options, **_SETTINGS).probabilities
    actual, expected = _run([actual, expected])
    np.testing.assert_allclose(actual, _softmax(expected), atol=1e-5)


def test_several_scales_take_the_place_of_the_pyramid():
    predictions = [
        tta.predict(_images(), options, scales=(0.5, 1.0), **_SETTINGS).probabilities
        for options in (_options(), _options(image_pyramid=(0.75, 1.0)))
    ]
    np.testing.assert_allclose(*_run(predictions), atol=1e-6)


def test_probabilities_are_resized_instead_of_logits_on_request():
    options = _options(prediction_with_upsampled_logits=False)
    logits = network.build(_images(), options, _CLASSES, crop_size=_SIZE).logits
    coarse = tf.nn.softmax(logits)
    expected = tf.image.resize_bilinear(coarse, _SIZE, align_corners=True)
    prediction = tta.predict(_images(), options, **_SETTINGS)
    (labels, probabilities), expected, coarse = _run([prediction, expected, coarse])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    # Aligned corners: every eighth pixel is one of the network's.
    np.testing.assert_array_equal(labels[:, ::8, ::8], coarse.argmax(-1))


def test_images_of_any_size_can_be_predicted_without_a_crop_size():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    prediction = tta.predict(images, _options(), _CLASSES, scales=(0.5, 1.0), flip=True)
    with tf.Session() as session:
        load_weights(session)
        for size in ((33, 50), (40, 31)):
            labels, probabilities = session.run(prediction, {images: np.ones([1, *size, 3])})
            assert labels.shape == (1, *size)
            assert probabilities.shape == (1, *size, _CLASSES)


def test_all_runs_share_their_variables():
    tta.predict(_images(), _options(), **_SETTINGS)
    count = len(tf.global_variables())
    tta.predict(_images(), _options(), scales=(0.5, 1.0, 1.5), flip=True, **_SETTINGS)
    assert len(tf.global_variables()) == count

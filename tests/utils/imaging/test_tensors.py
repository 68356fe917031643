"""Decoding of a window gives the pixels that decoding of the whole gives."""

import io

import numpy as np
import pytest
from PIL import Image

from utils.compat import tf
from utils.imaging import tensors

KINDS = {
    "4:2:0": {"quality": 75},
    "4:2:2": {"quality": 85, "subsampling": 1},
    "4:4:4": {"quality": 85, "subsampling": 0},
    "progressive": {"quality": 80, "progressive": True},
    "grey": {"quality": 80, "mode": "L"},
    "png": {"format": "PNG"},
}


def encoded(mode="RGB", format="JPEG", **arguments):
    pixels = np.random.RandomState(0).randint(0, 256, [93, 121, 3]).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format, **arguments)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_has_the_pixels_of_the_whole_image(kind):
    content = tf.constant(encoded(**KINDS[kind]))
    window = tf.placeholder(tf.int32, [2, 2])
    size = tensors.image_size(content)
    part = tensors.decode_window(content, size, window[0], window[1])
    random = np.random.RandomState(1)
    with tf.Session() as session:
        image, found = session.run([tensors.decode_image(content), size])
        assert image.shape == (*found, 3)
        for _ in range(40):
            top, left = random.randint(0, 90), random.randint(0, 118)
            height, width = random.randint(1, 94 - top), random.randint(1, 122 - left)
            pixels = session.run(part, {window: [[top, left], [height, width]]})
            expected = image[top : top + height, left : left + width]
            np.testing.assert_array_equal(pixels, expected)

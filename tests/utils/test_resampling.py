"""A window of a resized image is the window that cropping the resized image gives."""

import numpy as np
import pytest

from utils import image_ops, resampling
from utils.compat import tf


@pytest.fixture(scope="module")
def both():
    """Returns a function from sizes to the window by either way, for one image and label."""
    with tf.Graph().as_default():
        image = tf.placeholder(tf.uint8, [None, None, 3])
        label = tf.placeholder(tf.uint8, [None, None, 1])
        scaled, offset, length = (tf.placeholder(tf.int32, [2]) for _ in range(3))
        mirrored = tf.placeholder(tf.bool, [])
        size = tf.shape(image)[:2]
        rows, columns = (
            resampling.window_axis(size[axis], scaled[axis], offset[axis], length[axis])
            for axis in range(2)
        )
        columns = columns.mirrored(mirrored)

        def part(array):
            end = rows.first + rows.count, columns.first + columns.count
            return array[rows.first : end[0], columns.first : end[1]]

        windows = [
            resampling.bilinear(part(image), rows, columns),
            resampling.nearest(part(label)[..., 0], rows, columns),
        ]
        whole = [image_ops.resize_bilinear(image, scaled), image_ops.resize_nearest(label, scaled)]
    session = tf.Session(graph=image.graph)

    def run(pixels, labels, scaled_size, first, count, mirror):
        fed = {image: pixels, label: labels, scaled: scaled_size, offset: first}
        fed.update({length: count, mirrored: mirror})
        window, (resized, resized_label) = session.run((windows, whole), fed)
        parts = (slice(first[0], first[0] + count[0]), slice(first[1], first[1] + count[1]))
        step = -1 if mirror else 1
        return window, (resized[parts][:, ::step], resized_label[parts][:, ::step, 0])

    yield run
    session.close()


@pytest.mark.parametrize("seed", range(40))
def test_a_window_is_that_of_the_resized_image(both, seed):
    random = np.random.RandomState(seed)
    size = random.randint(1, 90, 2)
    scaled = np.maximum(
        (size * random.choice([0.3, 0.5, 0.75, 1, 1.25, 1.5, 1.93, 2])).astype(int), 1
    )
    length = np.minimum(random.randint(1, 120, 2), scaled)
    if seed % 3 == 0:
        length = scaled
    offset = [random.randint(0, room + 1) for room in scaled - length]
    pixels = random.randint(0, 256, [*size, 3]).astype(np.uint8)
    labels = random.randint(0, 256, [*size, 1]).astype(np.uint8)
    window, expected = both(pixels, labels, scaled, offset, length, bool(seed % 2))
    np.testing.assert_allclose(window[0], expected[0], atol=2e-2)
    assert np.abs(window[0] - expected[0]).mean() < 2e-3
    np.testing.assert_array_equal(window[1], expected[1])


def test_a_window_of_a_large_image_ends_at_its_last_pixel(both):
    random = np.random.RandomState(7)
    pixels = random.randint(1, 256, [375, 500, 3]).astype(np.uint8)
    labels = random.randint(0, 256, [375, 500, 1]).astype(np.uint8)
    for scaled in ([656, 875], [750, 1000], [281, 375]):
        offset = [max(0, side - 513) for side in scaled]
        length = [min(513, side) for side in scaled]
        for mirror in (False, True):
            window, expected = both(pixels, labels, scaled, offset, length, mirror)
            np.testing.assert_allclose(window[0], expected[0], atol=0.15)
            assert np.abs(window[0] - expected[0]).mean() < 1e-2
            np.testing.assert_array_equal(window[1], expected[1])

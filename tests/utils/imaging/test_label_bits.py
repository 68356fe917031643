"""Sets of classes in PNG files: round trips, other writers, and the graph's view."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.small_data import random_sets
from utils.compat import tf
from utils.errors import UserError
from utils.imaging import label_bits, png, tensors

# As many classes as fit, one more, and one.
COUNTS = (1, 7, 8, 15, 16, 47, 48, 63)


def expected(members, ignored):
    return np.where(ignored[..., np.newaxis], label_bits.IGNORED, members)


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_encoded_is_decoded(count):
    members, ignored = random_sets(count)
    bits = label_bits.decode(label_bits.encode(members, ignored), count)
    np.testing.assert_array_equal(label_bits.unpack(bits, count), expected(members, ignored))


@pytest.mark.parametrize(
    ("count", "mode"),
    [(7, (8, 0)), (15, (16, 0)), (47, (16, 2)), (63, (16, 6))],
)
def test_the_smallest_kind_of_file_is_taken(count, mode):
    members, ignored = random_sets(count)
    content = label_bits.encode(members, ignored)
    assert tuple(content[24:26]) == mode
    assert Image.open(io.BytesIO(content)).size == (6, 9)


def test_8_bit_files_are_those_that_are_decoded_fastest():
    assert png.is_plain_grey(label_bits.encode(*random_sets(7)))


def test_more_classes_than_bits_are_refused():
    with pytest.raises(UserError, match=r"64 classes .* up to 63"):
        label_bits.layout_of(64)


@pytest.mark.parametrize("count", COUNTS)
def test_the_graph_sees_the_same(count):
    members, ignored = random_sets(count)
    content = label_bits.encode(members, ignored)
    layout = label_bits.layout_of(count)
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = label_bits.decode_tensor(tf.constant(content), count, tensors.decode_grey)
        assert decoded.dtype == layout.dtype
        # Padding, as the pipeline does it.
        padded = tf.pad(decoded, [[0, 1], [0, 0], [0, 0]], constant_values=layout.ignored)
        batch = label_bits.unpack_tensor(padded[tf.newaxis], count)
        assert batch.dtype == tf.int32
        (found,) = session.run(batch)
    np.testing.assert_array_equal(found[:-1], expected(members, ignored))
    assert np.all(found[-1] == label_bits.IGNORED)


def test_channels_of_16_bits_keep_their_lower_bits():
    members = np.zeros([1, 63, 63], bool)
    members[0] = np.eye(63, dtype=bool)
    content = label_bits.encode(members)
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = label_bits.decode_tensor(tf.constant(content), 63, tensors.decode_grey)
        found = session.run(label_bits.unpack_tensor(decoded[tf.newaxis], 63))[0, 0]
    np.testing.assert_array_equal(found, np.eye(63))


def with_filters(content, filter_type):
    """Returns the same PNG file with another filter of all rows."""
    height, depth, color = struct.unpack(">IBB", content[20:26])
    pixel = {0: 1, 2: 3, 6: 4}[color] * depth // 8
    length = struct.unpack(">I", content[33:37])[0]
    rows = np.frombuffer(zlib.decompress(content[41 : 41 + length]), np.uint8)
    rows = rows.reshape(height, -1)[:, 1:].astype(int)
    left = np.pad(rows, [(0, 0), (pixel, 0)], "constant")[:, :-pixel]
    above = np.pad(rows, [(1, 0), (0, 0)], "constant")[:-1]
    corner = np.pad(left, [(1, 0), (0, 0)], "constant")[:-1]
    estimate = left + above - corner
    distances = [np.abs(estimate - value) for value in (left, above, corner)]
    paeth = np.choose(np.argmin(distances, axis=0), [left, above, corner])
    predicted = [0 * rows, left, above, (left + above) // 2, paeth][filter_type]
    filtered = ((rows - predicted) % 256).astype(np.uint8)
    data = zlib.compress(b"".join(bytes([filter_type]) + row.tobytes() for row in filtered))
    chunk = b"IDAT" + data
    parts = [content[:33], struct.pack(">I", len(data)), chunk]
    parts += [struct.pack(">I", zlib.crc32(chunk)), content[-12:]]
    return b"".join(parts)


@pytest.mark.parametrize("filter_type", range(5))
@pytest.mark.parametrize("count", [7, 15, 40, 63])
def test_files_of_other_writers_are_read(count, filter_type):
    members, ignored = random_sets(count)
    content = label_bits.encode(members, ignored)
    other = with_filters(content, filter_type)
    np.testing.assert_array_equal(
        label_bits.decode(other, count), label_bits.decode(content, count)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-8], "is truncated"),
        (lambda content: content[:45] + b"x" + content[46:], "wrong checksum"),
        (lambda content: b"GIF" + content, "not a PNG file"),
    ],
)
def test_damaged_files_are_refused(spoil, message):
    content = label_bits.encode(*random_sets(20))
    with pytest.raises(ValueError, match=message):
        label_bits.decode(spoil(content), 20)


def test_a_file_for_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="1 x 8 bits per pixel, but sets of 9 classes need 1 x 16"):
        label_bits.decode(label_bits.encode(*random_sets(5)), 9)

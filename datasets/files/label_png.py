"""Decodes masks in the graph: 8-bit grey PNG files.

A decoder of PNG files takes twice as long as inflating does. Masks that were stored as palette
images, and those that a conversion encodes, are one run of compressed rows without filters: then
nothing else is needed.
"""

from __future__ import annotations

import struct
import zlib

from utils.compat import tf

# Bits, kind (grey), compression, filters and interlacing of such a file, and where they are.
_KIND = (24, b"\x08\x00\x00\x00\x00")
_WIDTH, _HEIGHT = 16, 20
# The only run of compressed bytes: its length, its name, its first byte; what follows it.
_LENGTH, _NAME, _BEGIN, _BEHIND = 33, (37, b"IDAT"), 41, 16


def is_plain(content: bytes) -> bool:
    """Returns whether a file is such that `decode_plain` needs no decoder."""
    if len(content) < _BEGIN or not all(
        content[at : at + len(expected)] == expected for at, expected in (_KIND, _NAME)
    ):
        return False
    width, height = struct.unpack(">II", content[_WIDTH : _WIDTH + 8])
    (compressed,) = struct.unpack(">I", content[_LENGTH : _LENGTH + 4])
    if len(content) != _BEGIN + compressed + _BEHIND:
        return False
    try:
        values = zlib.decompress(content[_BEGIN : _BEGIN + compressed])
    except zlib.error:
        return False
    return len(values) == height * (width + 1) and not any(values[:: width + 1])


def decode(content: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 1] of the content of any PNG file."""
    label = tf.image.decode_png(content, channels=1)
    label.set_shape([None, None, 1])
    return label


def decode_plain(content: tf.Tensor) -> tf.Tensor:
    """Returns what `decode` does, of any file; faster if `is_plain`, slower otherwise."""
    # A file that is too short gets zeros behind it.
    head = tf.strings.join([tf.strings.substr(content, 0, _BEGIN), b"\0" * _BEGIN])
    width, height, compressed = (_number(head, at) for at in (_WIDTH, _HEIGHT, _LENGTH))
    is_whole = tf.equal(tf.strings.length(content), _BEGIN + compressed + _BEHIND)
    is_single = _has(head, *_KIND) & _has(head, *_NAME) & is_whole

    def plain():
        data = tf.io.decode_compressed(tf.strings.substr(content, _BEGIN, compressed), "ZLIB")
        values = tf.decode_raw(data, tf.uint8)
        # Each row begins with the number of its filter; 0 is none.
        filters = tf.cast(values[:: width + 1], tf.int32)
        fits = tf.equal(tf.size(values), height * (width + 1)) & tf.equal(tf.reduce_max(filters), 0)
        return tf.cond(
            fits,
            # Cut with two axes: of three each pixel is copied for itself.
            lambda: tf.reshape(values, tf.stack([height, width + 1]))[:, 1:, tf.newaxis],
            lambda: decode(content),
        )

    label = tf.cond(is_single, plain, lambda: decode(content))
    label.set_shape([None, None, 1])
    return label


def _has(head: tf.Tensor, position: int, expected: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(head, position, len(expected)), expected)


def _number(head: tf.Tensor, position: int) -> tf.Tensor:
    """Returns the big-endian number of four bytes at a position."""
    return tf.decode_raw(tf.strings.substr(head, position, 4), tf.int32, little_endian=False)[0]

"""Decoders of JPEG and PNG files in a TensorFlow graph; all take the content as a scalar string."""

from __future__ import annotations

from utils.compat import tf
from utils.imaging import png

# The first bytes of a JPEG file.
_JPEG = b"\xff\xd8\xff"
# One pixel is enough for every subsampling of colours; tests compare.
_MARGIN = 2


def decode_image(content: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 3] of a JPEG or PNG file.

    The kernel goes by the content, not by its name, so that both formats take one operation.
    """
    image = tf.image.decode_jpeg(content, channels=3)
    image.set_shape([None, None, 3])
    return image


def image_size(content: tf.Tensor) -> tf.Tensor:
    """Returns height and width, int32 [2], of a JPEG or PNG file, from its header."""

    def of_png():
        # Width and height, as big-endian numbers.
        numbers = tf.decode_raw(
            tf.strings.substr(content, png.WIDTH, 8), tf.int32, little_endian=False
        )
        return tf.reverse(numbers, [0])

    size = tf.cond(_is_jpeg(content), lambda: tf.image.extract_jpeg_shape(content)[:2], of_png)
    size.set_shape([2])
    return size


def decode_window(content: tf.Tensor, whole, offset, size) -> tf.Tensor:
    """Returns uint8 [height, width, 3], the pixels of `decode_image` in a window.

    Of a JPEG file only the window is decoded, and a margin: pixels at its border are interpolated
    with their neighbours.

    Args:
      content: Scalar string.
      whole: Height and width of the image, int32 [2].
      offset: First row and column of the window, int32 [2].
      size: Its height and width, int32 [2].
    """

    def from_jpeg():
        begin = tf.maximum(offset - _MARGIN, 0)
        end = tf.minimum(offset + size + _MARGIN, whole)
        part = tf.image.decode_and_crop_jpeg(
            content, tf.concat([begin, end - begin], 0), channels=3
        )
        return part, offset - begin

    image, offset = tf.cond(_is_jpeg(content), from_jpeg, lambda: (decode_image(content), offset))
    image = tf.slice(image, tf.concat([offset, [0]], axis=0), tf.concat([size, [3]], axis=0))
    image.set_shape([None, None, 3])
    return image


def _is_jpeg(content: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(content, 0, len(_JPEG)), _JPEG)


def decode_grey(content: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 1] of any PNG file."""
    values = tf.image.decode_png(content, channels=1)
    values.set_shape([None, None, 1])
    return values


def decode_plain_grey(content: tf.Tensor) -> tf.Tensor:
    """Returns what `decode_grey` does; faster if `png.is_plain_grey`, slower otherwise."""
    # A file that is too short gets zeros at its end.
    head = tf.strings.join([tf.strings.substr(content, 0, png.BEFORE), b"\0" * png.BEFORE])
    width, height, length = (_number(head, at) for at in (png.WIDTH, png.HEIGHT, png.LENGTH))
    is_whole = tf.equal(tf.strings.length(content), png.BEFORE + length + png.AFTER)
    kind, name = (_has(head, *expected) for expected in png.PLAIN_GREY)

    def plain():
        data = tf.io.decode_compressed(tf.strings.substr(content, png.BEFORE, length), "ZLIB")
        values = tf.decode_raw(data, tf.uint8)
        # Each row begins with the number of its filter; 0 is none.
        filters = tf.cast(values[:: width + 1], tf.int32)
        fits = tf.equal(tf.size(values), height * (width + 1)) & tf.equal(tf.reduce_max(filters), 0)
        return tf.cond(
            fits,
            # Cut with two axes: with three each pixel is copied by itself.
            lambda: tf.reshape(values, tf.stack([height, width + 1]))[:, 1:, tf.newaxis],
            lambda: decode_grey(content),
        )

    values = tf.cond(kind & name & is_whole, plain, lambda: decode_grey(content))
    values.set_shape([None, None, 1])
    return values


def _has(head: tf.Tensor, position: int, expected: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(head, position, len(expected)), expected)


def _number(head: tf.Tensor, position: int) -> tf.Tensor:
    """Returns the big-endian number of four bytes at a position."""
    return tf.decode_raw(tf.strings.substr(head, position, 4), tf.int32, little_endian=False)[0]

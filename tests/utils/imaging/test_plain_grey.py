"""Masks of any PNG file decode to their values, plain ones by inflating alone."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from utils.compat import tf
from utils.imaging import png, tensors

VALUES = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3


def filtered(values):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def chunks_of(content, data):
    """Returns a grey file of the size of another one whose compressed bytes come in such chunks."""
    parts = [png.chunk(b"IDAT", part) for part in data]
    return content[:33] + b"".join(parts) + png.chunk(b"IEND", b"")


def decoded(content, decode):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(decode(tf.constant(content)))


PLAIN = png.encode(VALUES[..., np.newaxis])
STREAM = PLAIN[41:-16]


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (PLAIN, True),
        (filtered(VALUES.repeat(9, 0).repeat(9, 1)), False),
        (chunks_of(PLAIN, [STREAM[:4], STREAM[4:]]), False),
        (PLAIN[:33] + png.chunk(b"tEXt", b"a\0b") + PLAIN[33:], False),
        (filtered(np.zeros([1, 1], np.uint8)), None),
    ],
)
def test_every_file_decodes_to_its_values(content, plain):
    expected = np.asarray(Image.open(io.BytesIO(content)))
    if plain is not None:
        assert png.is_plain_grey(content) is plain
    for decode in (tensors.decode_grey, tensors.decode_plain_grey):
        np.testing.assert_array_equal(decoded(content, decode)[..., 0], expected)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN[:20],
        PLAIN[:-8],
        chunks_of(PLAIN, [STREAM[:9]]),
        b"text",
        PLAIN[:45] + b"!" + PLAIN[46:],
    ],
)
def test_damaged_files_are_not_plain_and_do_not_decode(content):
    assert not png.is_plain_grey(content)
    for decode in (tensors.decode_grey, tensors.decode_plain_grey):
        with pytest.raises(tf.errors.OpError):
            decoded(content, decode)


def test_too_few_rows_are_no_plain_file():
    short = chunks_of(PLAIN, [zlib.compress(zlib.decompress(STREAM)[:16])])
    assert not png.is_plain_grey(short)

"""Masks of any PNG file decode to their values, plain ones by inflating alone."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets.files import label_png, mask_files
from utils.compat import tf

VALUES = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3


def filtered(values):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def chunks_of(content, data):
    """Returns a grey file of the size of another one whose compressed bytes come in such chunks."""
    parts = [mask_files._chunk(b"IDAT", part) for part in data]
    return content[:33] + b"".join(parts) + mask_files._chunk(b"IEND", b"")


def decoded(content, decode):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(decode(tf.constant(content)))


PLAIN = mask_files._encode(VALUES)
STREAM = PLAIN[41:-16]


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (PLAIN, True),
        (filtered(VALUES.repeat(9, 0).repeat(9, 1)), False),
        (chunks_of(PLAIN, [STREAM[:4], STREAM[4:]]), False),
        (PLAIN[:33] + mask_files._chunk(b"tEXt", b"a\0b") + PLAIN[33:], False),
        (filtered(np.zeros([1, 1], np.uint8)), None),
    ],
)
def test_every_file_decodes_to_its_values(content, plain):
    expected = np.asarray(Image.open(io.BytesIO(content)))
    if plain is not None:
        assert label_png.is_plain(content) is plain
    for decode in (label_png.decode, label_png.decode_plain):
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
    assert not label_png.is_plain(content)
    for decode in (label_png.decode, label_png.decode_plain):
        with pytest.raises(tf.errors.OpError):
            decoded(content, decode)


def test_too_few_rows_are_no_plain_file():
    short = chunks_of(PLAIN, [zlib.compress(zlib.decompress(STREAM)[:16])])
    assert not label_png.is_plain(short)

"""Image files of every kind become the pixels that the training pipeline would see."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.small_data import pixels
from utils.compat import tf
from utils.errors import BadImageError
from utils.imaging import tensors
from utils.imaging.decoding import Decoder


def _content(array, file_format, mode=None, **settings):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, file_format, **settings)
    return buffer.getvalue()


def _decoded(content):
    with Decoder() as decoder:
        return decoder.decode(content, "photo")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_records_and_files_decode_to_the_same_pixels(file_format):
    content = _content(pixels(1, 37, 51), file_format)
    image = tensors.decode_image(tf.constant(content))
    with tf.Session() as session:
        np.testing.assert_array_equal(_decoded(content), session.run(image))


@pytest.mark.parametrize("file_format", ["BMP", "TIFF", "PPM", "PNG"])
def test_lossless_formats_keep_their_pixels(file_format):
    array = pixels(2, 20, 31)
    np.testing.assert_array_equal(_decoded(_content(array, file_format)), array)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_grey_palette_and_transparent_images_become_three_channels(mode):
    array = pixels(3, 20, 31)
    decoded = _decoded(_content(array, "PNG", mode))
    expected = np.asarray(Image.fromarray(array).convert(mode).convert("RGB"))
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bits_become_the_upper_eight(file_format):
    values = (np.arange(20 * 31).reshape(20, 31) * 100).astype(np.uint16)
    decoded = _decoded(_content(values, file_format))
    assert np.abs(decoded[..., 0].astype(int) - values // 256).max() <= 1


def test_cmyk_becomes_rgb():
    array = np.full([16, 16, 3], (200, 40, 90), np.uint8)
    decoded = _decoded(_content(array, "JPEG", "CMYK", quality=95))
    assert np.abs(decoded.astype(int) - array).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_photo_that_is_stored_turned_is_seen_upright(orientation, file_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _content(pixels(4, 20, 31), file_format, exif=exif.tobytes())
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    decoded = _decoded(content)
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() <= 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.05, 0.6, 0.9])
def test_a_truncated_file_is_a_sentence(file_format, share):
    noise = np.random.RandomState(0).randint(0, 256, [60, 80, 3]).astype(np.uint8)
    content = _content(noise, file_format)
    with pytest.raises(
        BadImageError, match=r"^photo is (not a readable image|truncated or damaged)"
    ):
        _decoded(content[: int(len(content) * share)])


def test_values_of_32_bits_are_refused():
    with pytest.raises(BadImageError, match=r"32-bit values \(mode F\)"):
        _decoded(_content(np.ones([4, 4], np.float32), "TIFF"))

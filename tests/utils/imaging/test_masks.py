"""Masks of any kind of PNG file decode to their values."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.small_data import labels, pixels, png, save_mask
from utils.errors import BadImageError
from utils.imaging import masks
from utils.imaging.png import chunk, is_plain_grey


def saved(path, mask, **settings):
    save_mask(path, mask, **settings)
    return path.read_bytes()


def counts(values):
    return np.bincount(values.ravel(), minlength=256)


def test_pixels_are_counted_exactly():
    random = np.random.RandomState(0)
    for values in (random.randint(0, 256, [37, 41]), np.full([1, 1], 7), labels(3, 50, 60)):
        values = values.astype(np.uint8)
        np.testing.assert_array_equal(masks.count(values), counts(values))


def test_rows_with_and_without_filters_are_read_alike(tmp_path):
    expected = labels(0, 20, 30)
    # Pillow filters rows of grey images, and none of palette images.
    for palette in (False, True):
        content = saved(tmp_path / "mask.png", expected, palette=palette)
        assert (masks.unfiltered_rows(content, "mask") is None) != palette
        found = masks.decode(content, "mask")
        np.testing.assert_array_equal(found.values, expected)
        np.testing.assert_array_equal(found.pixels, counts(expected))


def test_a_palette_mask_with_too_few_or_too_many_pixels_is_damaged(tmp_path):
    content = saved(tmp_path / "mask.png", labels(0, 20, 30), palette=True)
    for height in (19, 21):
        header = content[16:20] + height.to_bytes(4, "big") + content[24:29]
        assert (
            masks.unfiltered_rows(content[:8] + chunk(b"IHDR", header) + content[33:], "") is None
        )


@pytest.mark.parametrize("library", ["zlib", "zlib_ng.zlib_ng"])
def test_masks_are_the_same_whichever_library_inflates_them(tmp_path, monkeypatch, library):
    monkeypatch.setattr(masks, "inflating", pytest.importorskip(library))
    expected = labels(0, 20, 30)
    found = masks.decode(saved(tmp_path / "mask.png", expected, palette=True), "mask")
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.pixels, counts(expected))


@pytest.mark.parametrize("library", ["zlib", "zlib_ng.zlib_ng"])
def test_a_mask_that_cannot_be_inflated_is_damaged(tmp_path, monkeypatch, library):
    monkeypatch.setattr(masks, "inflating", pytest.importorskip(library))
    content = saved(tmp_path / "mask.png", labels(0, 20, 30), palette=True)
    begin = content.index(b"IDAT") + 4
    length = int.from_bytes(content[begin - 8 : begin - 4], "big")
    # The first block is of a kind that there is not; the checksum of the chunk is right.
    data = content[begin : begin + 2] + b"\x07" + content[begin + 3 : begin + length]
    damaged = content[: begin - 8] + chunk(b"IDAT", data) + content[begin + length + 4 :]
    with pytest.raises(BadImageError, match=r"^mask is damaged"):
        masks.decode(damaged, "mask")


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_masks_of_fewer_bits_keep_their_values(bits):
    # Pillow writes no such files: the header and the pixels are put together here.
    expected = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)
    bit_rows = [np.unpackbits(row[:, np.newaxis], axis=1)[:, -bits:].ravel() for row in expected]
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bit_rows)
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, bits, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(masks.decode(content, "mask").values, expected)
    assert masks.index_png(content, "mask") == masks.encode(expected)


def test_masks_of_16_bits_and_of_colours_have_values_but_no_counts():
    wide = labels(0, 20, 30).astype(np.uint16) * 257
    found = masks.decode(png(wide), "mask")
    np.testing.assert_array_equal(found.values, wide)
    assert found.pixels is None
    colored = pixels(0, 20, 30)
    found = masks.decode(png(colored), "mask")
    np.testing.assert_array_equal(found.values, colored)
    assert found.pixels is None
    for content in (png(wide), png(colored)):
        with pytest.raises(BadImageError, match="not a mask of indices"):
            masks.index_png(content, "mask")


def test_encoded_masks_are_those_that_are_decoded_fastest():
    expected = labels(0, 20, 30)
    content = masks.encode(expected)
    assert is_plain_grey(content)
    np.testing.assert_array_equal(masks.decode(content, "mask").values, expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pixels_that_are_not_0_are_found_whatever_their_transparency(mode):
    expected = labels(0, 20, 30) > 0
    image = Image.fromarray(expected.astype(np.uint8) * 9).convert(mode)
    np.testing.assert_array_equal(masks.nonzero(png(np.asarray(image)), "mask"), expected)

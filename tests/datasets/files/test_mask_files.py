import io

import numpy as np
import pytest
from PIL import Image

from datasets.files import mask_files
from datasets.files.defects import BadFileError
from tests.small_data import labels, pixels, save_mask
from utils import colormap
from utils.classes import ClassSet

CLASSES = ClassSet(("a", "b", "c", "d"))
COLORS = ClassSet(("a", "b"), ((0, 0, 0), (10, 20, 30)), ignore_color=(9, 9, 9))


def read_mask(path, classes=CLASSES):
    reader = mask_files.MaskReader(classes, by_color=classes is COLORS)
    return reader.read(str(path))


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_index_masks_are_kept_as_they_are(tmp_path):
    path = tmp_path / "mask.png"
    save_mask(path, labels(0, 20, 30))
    content, size, counts = read_mask(path)
    assert content == path.read_bytes()
    assert size == (20, 30)
    np.testing.assert_array_equal(counts, np.bincount(labels(0, 20, 30).ravel(), minlength=256))


def test_of_palette_masks_the_indices_are_taken_never_the_colours(tmp_path):
    path = tmp_path / "mask.png"
    save_mask(path, labels(0, 20, 30), palette=True)
    content, _, _ = read_mask(path)
    assert Image.open(io.BytesIO(content)).mode == "L"
    np.testing.assert_array_equal(decoded(content), labels(0, 20, 30))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_masks_of_fewer_bits_hold_the_same_classes(tmp_path, bits):
    expected = np.minimum(labels(0, 20, 30), 1 if bits == 1 else 3)
    path = tmp_path / "mask.png"
    palette = Image.fromarray(expected)
    palette.putpalette(colormap.pascal(4).ravel().tolist())
    palette.save(path, bits=bits)
    np.testing.assert_array_equal(decoded(read_mask(path)[0]), expected)
    if bits == 1:
        Image.fromarray(expected.astype(bool)).save(path)
        np.testing.assert_array_equal(decoded(read_mask(path)[0]), expected)


def test_masks_of_16_bits_are_taken_where_the_values_are_classes(tmp_path):
    path = tmp_path / "mask.png"
    expected = labels(0, 20, 30)
    Image.fromarray(expected.astype(np.uint16)).save(path)
    np.testing.assert_array_equal(decoded(read_mask(path)[0]), expected)
    Image.fromarray(expected.astype(np.uint16) * 257).save(path)
    message = refused_mask(path)
    assert message.startswith(f"{path} holds 257, 514, 771, 65535, but there are 4 classes")
    assert message.endswith("--mask_values=0:NAME,65535:NAME")


def refused_mask(path, classes=CLASSES):
    with pytest.raises(BadFileError) as error:
        read_mask(path, classes)
    return str(error.value)


def test_values_outside_of_the_classes_are_named(tmp_path):
    path = tmp_path / "mask.png"
    mask = labels(0, 20, 30)
    mask[3, :5] = 4
    mask[9, 9] = 200
    save_mask(path, mask)
    assert refused_mask(path) == (
        f"{path} holds 4, 200, but there are 4 classes (0 to 3) and ignore label 255"
    )
    assert "holds 4, 200, 255, but" in refused_mask(path, ClassSet(CLASSES.names, ignore_label=7))


def test_colour_masks_are_translated_by_the_class_table(tmp_path):
    path = tmp_path / "mask.png"
    colors = np.array([[0, 0, 0], [10, 20, 30], [9, 9, 9]], np.uint8)
    expected = np.random.RandomState(0).choice(3, [20, 30])
    save_mask(path, colors[expected])
    content, _, counts = read_mask(path, COLORS)
    np.testing.assert_array_equal(decoded(content), np.array([0, 1, 255])[expected])
    assert counts[255] == np.sum(expected == 2)


def test_colours_that_are_not_in_the_table_are_named(tmp_path):
    path = tmp_path / "mask.png"
    mask = np.zeros([20, 30, 3], np.uint8)
    mask[0, 0] = [1, 2, 3]
    save_mask(path, mask)
    assert refused_mask(path, COLORS) == (
        f"{path} holds 1 colours that are not in the class table: (1,2,3)"
    )


def test_colour_masks_without_colours_in_the_table_are_refused(tmp_path):
    path = tmp_path / "mask.png"
    save_mask(path, pixels(0, 20, 30))
    assert "is a mask of RGB colours, not class numbers; pass a --class_table" in refused_mask(path)


def test_masks_that_are_no_png_are_refused(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(labels(0, 20, 30)).save(path, "JPEG")
    assert refused_mask(path) == f"{path} is a JPEG file; masks must be PNG files"
    Image.fromarray(pixels(0, 20, 30)).convert("LA").save(path)
    assert "mask of mode LA" in refused_mask(path)

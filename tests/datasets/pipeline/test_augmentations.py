"""Augmentation beyond DeepLab's: what it may change, and that numbers alone decide."""

import numpy as np
import pytest

from datasets.pipeline import augmentations, preprocess, resized_crop
from datasets.pipeline.augmentations import Fill, rotation
from options.augmentation import AugmentationOptions
from options.config import Config
from options.data import DATA_RECORDS, InputOptions
from tests.small_data import labels, pixels
from utils import variants
from utils.compat import tf
from utils.errors import OptionError

PAD = (1.0, 2.0, 3.0)
IMAGE, LABEL = pixels(0, 48, 64), labels(0, 48, 64)[..., np.newaxis]


def run(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def trained(seed=0, image=IMAGE, label=LABEL, **values):
    config = Config.create(DATA_RECORDS, {"train_crop_size": (40, 40), **values})
    random = np.random.RandomState(seed).uniform(size=preprocess.NUM_RANDOM).astype(np.float32)
    return run(
        preprocess.for_training(
            preprocess.reader(tf.constant(image)),
            tf.constant(label),
            config.input,
            config.augmentation,
            pad_color=PAD,
            ignore_label=255,
            random=tf.constant(random),
        )
    )


def test_crops_have_the_area_and_the_aspect_that_the_options_allow():
    options = AugmentationOptions()
    random = tf.placeholder(tf.float32, [resized_crop.NUM_RANDOM])
    found = resized_crop.resized_crop(tf.constant([375, 500]), options, random)
    areas = []
    with tf.Session() as session:
        for seed in range(300):
            uniform = np.random.RandomState(seed).uniform(size=resized_crop.NUM_RANDOM)
            (top, left), (height, width) = session.run(found, {random: uniform})
            assert 0 <= top <= top + height <= 375
            assert 0 <= left <= left + width <= 500
            assert 0.73 < width / height < 1.36
            areas.append(height * width / (375 * 500))
    assert min(areas) < 0.12
    assert max(areas) > 0.9
    # Large areas fit with few aspects.
    assert 0.38 < np.mean(areas) < 0.5


def test_a_long_image_gives_the_largest_crop_of_its_middle():
    options = AugmentationOptions(random_crop_area=(0.9, 1.0))
    random = tf.constant(np.full(resized_crop.NUM_RANDOM, 0.5, np.float32))
    offset, size = run(resized_crop.resized_crop(tf.constant([10, 1000]), options, random))
    assert size.tolist() == [10, 13]
    assert offset.tolist() == [0, 493]


def test_an_imagenet_crop_fills_the_window_and_label_and_image_belong_together():
    # The image shows its label, so that they can be compared.
    label = np.where(LABEL == 255, 0, LABEL)
    image = np.repeat(label * 60, 3, axis=-1).astype(np.uint8)
    for seed in range(5):
        found, found_label, height, width = trained(
            seed, image, label, augmentation="imagenet", random_crop_area=(0.3, 1.0)
        )
        assert (height, width) == (40, 40)
        assert np.mean(np.abs(found[..., :1] - found_label * 60.0) < 30.5) > 0.97


def test_evaluation_takes_the_middle():
    options = InputOptions(augmentation="imagenet", eval_crop_size=(42, 42))
    image, label, height, width = run(
        preprocess.for_evaluation(
            tf.constant(IMAGE), tf.constant(LABEL), options, pad_color=PAD, ignore_label=255
        )
    )
    assert image.shape == (42, 42, 3)
    assert (height, width) == (42, 42)
    # At 48 rows, 48 * 8 / 7 = 48: no resizing, only cropping.
    np.testing.assert_allclose(image, IMAGE[3:45, 11:53], atol=0.02)
    np.testing.assert_array_equal(label, LABEL[3:45, 11:53])


LOOKS = {
    "brightness_delta": 0.4,
    "contrast_delta": 0.5,
    "saturation_delta": 0.9,
    "hue_delta": 0.4,
    "max_blur_sigma": 3.0,
}


@pytest.mark.parametrize("option", LOOKS)
def test_a_changed_look_leaves_labels_and_padding_alone(option):
    plain = trained(3, min_scale_factor=0.5, max_scale_factor=0.5)
    changed = trained(3, min_scale_factor=0.5, max_scale_factor=0.5, **{option: LOOKS[option]})
    np.testing.assert_array_equal(changed[1], plain[1])
    inside = np.any(plain[0] != np.float32(PAD), axis=-1)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(changed[0][~inside], plain[0][~inside])
    assert np.abs(changed[0] - plain[0])[inside].mean() > 0.3
    assert changed[0].min() >= 0
    assert changed[0].max() <= 255


def test_a_quarter_turn_turns_image_and_label():
    options = AugmentationOptions(max_rotation=90.0)
    image = tf.constant(IMAGE[:41, :41].astype(np.float32))
    label = tf.constant(LABEL[:41, :41].astype(np.int32))
    turned, turned_label = run(
        rotation.rotate(image, label, options, tf.constant([1.0]), Fill(PAD, 255))
    )
    np.testing.assert_allclose(turned, np.rot90(IMAGE[:41, :41], -1), atol=0.1)
    np.testing.assert_array_equal(turned_label, np.rot90(LABEL[:41, :41], -1))


def test_corners_of_a_turned_crop_are_padding():
    image, label, _, _ = trained(1, min_scale_factor=2, max_scale_factor=2, max_rotation=45.0)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_allclose(image[corner], PAD, atol=1e-4)
        assert label[corner] == 255


# What each of them promises, for whatever stands in datasets/pipeline/augmentations.

# Options that turn each augmentation on.
ON = {
    "blur": {"max_blur_sigma": 3.0},
    "colors": {"brightness_delta": 0.4, "hue_delta": 0.2},
    "rotation": {"max_rotation": 30.0},
}
NAMES = sorted(variants.collect(augmentations))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_off_by_default_and_changes_images_by_its_numbers_alone(name):
    record = variants.collect(augmentations)[name]
    options = AugmentationOptions(**ON[name])
    assert record.is_on(options)
    assert not record.is_on(AugmentationOptions())
    image, label = tf.constant(IMAGE, tf.float32), tf.constant(LABEL.astype(np.int32))
    random = tf.placeholder(tf.float32, [record.numbers])
    tensors = record.apply(image, label, options, random, Fill(PAD, 255))
    with tf.Session() as session:
        first, again, other = (
            session.run(tensors, {random: np.full(record.numbers, value)})
            for value in (0.9, 0.9, 0.7)
        )
    assert (first[0].shape, first[1].shape) == (IMAGE.shape, LABEL.shape)
    assert (first[0].dtype, first[1].dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - other[0]).mean() > 0.3
    assert set(np.unique(first[1])) <= {*np.unique(LABEL), 255}


def test_no_two_have_the_same_place():
    orders = [record.order for record in preprocess.AUGMENTATIONS]
    assert len(set(orders)) == len(orders)
    assert len(orders) == len(NAMES)


def test_impossible_options_are_refused():
    with pytest.raises(OptionError, match="--random_crop_area=0.5,0.1: the first number is above"):
        AugmentationOptions(random_crop_area=(0.5, 0.1))
    with pytest.raises(OptionError, match="--min_resize_value=9 .*--augmentation=imagenet"):
        InputOptions(augmentation="imagenet", min_resize_value=9)

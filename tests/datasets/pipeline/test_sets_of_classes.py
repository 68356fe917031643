"""Labels of several classes per pixel go through the pipeline like class numbers."""

import numpy as np
import pytest

from datasets import description
from datasets.dataset import Dataset
from datasets.description import Description
from datasets.records import tfrecord
from tests.small_data import data_config, labels, pixels, png, sizes
from utils.classes import MULTILABEL, ClassSet, default_names
from utils.compat import tf
from utils.imaging import label_bits

PAD = (1.0, 2.0, 3.0)
IMAGES = 5


def write(folder, label_of, classes):
    """Writes split train; `label_of` makes the label of a class number mask."""
    folder.mkdir()
    (path,) = tfrecord.shard_paths(str(folder), "train", 1)
    with tf.io.TFRecordWriter(path) as writer:
        for number in range(IMAGES):
            height, width = sizes(number)
            label = label_of(labels(number, height, width)) if number else b""
            record = tfrecord.Record(
                f"image_{number}", png(pixels(number, height, width)), "png", height, width, label
            )
            writer.write(tfrecord.serialize(record))
    description.save(str(folder), Description(classes, {"train": IMAGES}))
    return str(folder)


def members(mask, count):
    """Returns the classes of class numbers, bool [h, w, count]: itself, and the last one if odd."""
    found = mask[..., np.newaxis] == np.arange(count)
    found[..., -1] |= mask % 2 == 1
    return found & (mask != 255)[..., np.newaxis]


@pytest.fixture(scope="module", params=[7, 15, 63])
def both(request, tmp_path_factory):
    """Returns folders with the same masks as class numbers and as sets, and how many classes."""
    folder, count = tmp_path_factory.mktemp("data"), request.param
    names = default_names(count)
    numbers = write(folder / "numbers", png, ClassSet(names))
    sets = write(
        folder / "sets",
        lambda mask: label_bits.encode(members(mask, count), mask == 255),
        ClassSet(names, task=MULTILABEL),
    )
    return numbers, sets, count


def batches(folder, training, **values):
    # The first image has no label, which training would refuse.
    dataset = Dataset.open(data_config(folder, on_bad_record="skip", **values))
    with tf.Graph().as_default(), tf.Session() as session:
        make = dataset.train_batches if training else dataset.eval_batches
        iterator = tf.data.make_initializable_iterator(
            make(split="train", batch_size=2, pad_color=PAD)
        )
        following = iterator.get_next()
        session.run(iterator.initializer)
        return [session.run(following) for _ in range(3)], following["label"]


def assert_alike(both, training, **values):
    """Checks that a batch's sets are those of its class numbers."""
    numbers, sets, count = both
    expected, _ = batches(numbers, training, **values)
    found, tensor = batches(sets, training, **values)
    assert tensor.dtype == tf.int32
    assert tensor.shape.as_list()[3] == count
    for one, other in zip(found, expected):
        mask = other["label"][..., 0]
        wanted = np.where((mask == 255)[..., np.newaxis], label_bits.IGNORED, members(mask, count))
        np.testing.assert_array_equal(one["label"], wanted)
        for key in ("image", "name", "height", "width", "valid"):
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    return found


def test_training_resizes_scales_flips_pads_and_rotates_them(both):
    values = {"max_rotation": 30, "min_resize_value": 40, "max_resize_value": 60}
    found = assert_alike(both, training=True, **values)
    assert any((batch["label"] == label_bits.IGNORED).any() for batch in found)


def test_a_cache_keeps_them(both):
    assert_alike(both, training=True, augmentation="imagenet", cache="memory")


def test_evaluation_pads_them_and_ignores_images_without_a_label(both):
    (first, _, last) = assert_alike(both, training=False)
    assert np.all(first["label"][0] == label_bits.IGNORED)
    assert last["valid"].tolist() == [1, 0]
    assert np.all(last["label"][1] == label_bits.IGNORED)

"""Batches: determinism, resuming, ranks, padding, and what is refused before a graph is built."""

import io
import json
import os
import sys
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import common
from datasets import dataset as dataset_module
from datasets.dataset import Dataset
from datasets.pipeline import input_fn, preprocess
from datasets.records import tfrecord
from tests.small_data import data_config, labels, make_records, pixels, sizes
from utils.compat import tf
from utils.errors import OptionError, UserError

TRAIN, VAL = 7, 5
PAD = (1.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("voc"), train=TRAIN, val=VAL)


def train_batches(records, steps, batch_size=2, options=None, **arguments):
    """Returns the first batches of training."""
    dataset = Dataset.open(options or data_config(records))
    batches = dataset.train_batches(
        split="train", batch_size=batch_size, pad_color=PAD, **arguments
    )
    return run(batches, steps)


def eval_batches(records, batch_size=2, options=None, split="val", **arguments):
    """Returns all batches of evaluation."""
    dataset = Dataset.open(options or data_config(records))
    batches = dataset.eval_batches(split=split, batch_size=batch_size, pad_color=PAD, **arguments)
    return run(batches)


def run(dataset, steps=None):
    batches = []
    iterator = tf.data.make_initializable_iterator(dataset)
    batch = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        while steps is None or len(batches) < steps:
            try:
                batches.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                break
    return batches


def names(batches):
    return [name.decode() for batch in batches for name in batch["name"]]


def assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for one, other in zip(batches, expected):
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize("batches", [Dataset.train_batches, Dataset.eval_batches])
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_functions_of_a_data_set_run_as_they_are_written(records, batches, cache):
    """TensorFlow would convert them for `if` and `for` of tensors, which takes seconds."""
    callers = set()

    def noting(function):
        def noted(*arguments, **settings):
            callers.add(sys._getframe(1).f_code.co_filename)
            return function(*arguments, **settings)

        return noted

    dataset = Dataset.open(data_config(records, cache=cache))
    noted = {name: noting(getattr(tf, name)) for name in ("cast", "gather", "shape")}
    with mock.patch.multiple(tf, **noted):
        batches(dataset, split="train", batch_size=2, pad_color=PAD)
    assert input_fn.__file__ in callers
    # Converted code is called by TensorFlow, whose environment may lie in the checkout.
    root = os.path.dirname(os.path.abspath(common.__file__))
    inside = {os.path.relpath(name, root).split(os.sep)[0] for name in callers}
    assert inside <= {"datasets", "utils"}


def test_samples_have_the_stated_form(records):
    dataset = Dataset.open(data_config(records))
    batches = dataset.train_batches(split="train", batch_size=2, pad_color=PAD)
    shapes = {
        "image": [2, 33, 33, 3],
        "label": [2, 33, 33, 1],
        "name": [2],
        "height": [2],
        "width": [2],
        "valid": [2],
    }
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    assert {key: value.shape.as_list() for key, value in batch.items()} == shapes
    types = {key: value.dtype.name for key, value in batch.items()}
    expected = {"image": "float32", "label": "int32", "name": "string"}
    assert types == {**expected, "height": "int32", "width": "int32", "valid": "float32"}


def test_each_epoch_shows_every_image_once_in_another_order(records):
    found = names(train_batches(records, steps=3, batch_size=TRAIN))
    epochs = [found[start : start + TRAIN] for start in (0, TRAIN, 2 * TRAIN)]
    for epoch in epochs:
        assert sorted(epoch) == [f"train_{number}" for number in range(TRAIN)]
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_the_same_on_every_tensorflow(records):
    assert names(train_batches(records, steps=1, batch_size=2 * TRAIN)) == [
        f"train_{number}" for number in (0, 4, 1, 3, 2, 6, 5, 6, 5, 0, 4, 1, 2, 3)
    ]


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(records):
    first = train_batches(records, steps=3, seed=5)
    assert_equal(train_batches(records, steps=3, seed=5), first)
    other = train_batches(records, steps=3, seed=6)
    assert not np.array_equal(first[0]["image"], other[0]["image"])


@pytest.mark.parametrize(
    "start", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(9, marks=pytest.mark.slow)]
)
def test_a_run_that_starts_at_a_step_gets_what_an_uninterrupted_one_gets(records, start):
    uninterrupted = train_batches(records, steps=11)
    assert_equal(train_batches(records, steps=11 - start, start_step=start), uninterrupted[start:])


def test_ranks_take_disjoint_shares_of_each_global_batch(records):
    alone = train_batches(records, steps=5, batch_size=6)
    for rank in range(3):
        share = train_batches(records, steps=5, batch_size=2, rank=rank, ranks=3)
        expected = [{key: value[rank::3] for key, value in batch.items()} for batch in alone]
        assert_equal(share, expected)


def test_ranks_resume_alike(records):
    whole = train_batches(records, steps=6, rank=1, ranks=2)
    assert_equal(train_batches(records, steps=3, start_step=3, rank=1, ranks=2), whole[3:])


@pytest.mark.parametrize("calls", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_the_data_do_not_depend_on_the_number_of_parallel_calls(records, calls, monkeypatch):
    expected = train_batches(records, steps=6)
    monkeypatch.setattr(input_fn, "_PARALLEL_CALLS", calls)
    assert_equal(train_batches(records, steps=6), expected)


def test_a_batch_may_be_larger_than_an_epoch(records):
    batch = train_batches(records, steps=1, batch_size=3 * TRAIN + 1)[0]
    assert batch["image"].shape == (3 * TRAIN + 1, 33, 33, 3)


def test_without_scaling_training_shows_windows_of_the_images_some_mirrored(records):
    options = data_config(records, min_scale_factor=1, max_scale_factor=1)
    mirrored = 0
    for batch in train_batches(records, steps=10, options=options):
        for sample in range(2):
            number = int(batch["name"][sample].decode().split("_")[1])
            expected = labels(number, *sizes(number))
            label = batch["label"][sample, :, :, 0]
            height, width = batch["height"][sample], batch["width"][sample]
            if not any(
                np.array_equal(label[:height, :width], window)
                for window in windows(expected, height, width)
            ):
                label = label[:, ::-1]
                mirrored += 1
            valid = label[:height, :width]
            assert any(np.array_equal(valid, part) for part in windows(expected, height, width))
            assert np.all(label[height:] == 255)
            assert np.all(label[:, width:] == 255)
    assert 3 <= mirrored <= 17


def windows(label, height, width):
    for top in range(label.shape[0] - height + 1):
        for left in range(label.shape[1] - width + 1):
            yield label[top : top + height, left : left + width]


def test_what_is_beside_the_image_has_the_pad_colour_and_the_ignore_label(records):
    batch = eval_batches(records, batch_size=1)[0]
    height, width = batch["height"][0], batch["width"][0]
    assert (height, width) == sizes(0)
    image, label = batch["image"][0], batch["label"][0, :, :, 0]
    assert image.shape == (65, 65, 3)
    np.testing.assert_array_equal(label[:height, :width], labels(0, height, width))
    assert np.abs(image[:height, :width] - pixels(0, height, width)).mean() < 5
    for beside in (image[height:], image[:, width:]):
        assert np.all(beside == np.float32(PAD))
    assert np.all(label[height:] == 255)
    assert np.all(label[:, width:] == 255)


@pytest.mark.parametrize(("batch_size", "ranks"), [(2, 1), (1, 1), (4, 1), (9, 1), (2, 3), (1, 7)])
def test_evaluation_shows_every_image_once_over_all_ranks(records, batch_size, ranks):
    found, batches = [], []
    for rank in range(ranks):
        share = eval_batches(records, batch_size, rank=rank, ranks=ranks)
        batches.append(len(share))
        for batch in share:
            assert len(batch["image"]) == batch_size
            valid = batch["valid"] == 1
            found += [name.decode() for name in batch["name"][valid]]
            assert np.all(batch["valid"][~valid] == 0)
            assert np.all(batch["name"][~valid] == b"")
            assert np.all(batch["label"][~valid] == 255)
    assert sorted(found) == [f"val_{number}" for number in range(VAL)]
    assert len(set(batches)) == 1


def test_evaluation_of_one_rank_is_in_the_order_of_the_records(records):
    assert names(eval_batches(records, 1)) == [f"val_{number}" for number in range(VAL)]


def test_random_numbers_decide_alike_on_every_tensorflow():
    with tf.Session() as session:
        numbers = session.run(
            input_fn._uniform(preprocess.NUM_RANDOM, 3, tf.constant(10, tf.int64), 1)
        )
    np.testing.assert_allclose(numbers[:4], [0.3670518, 0.7965319, 0.6762202, 0.9867679], atol=1e-7)


def test_names_can_be_left_out_for_devices_that_take_no_strings(records):
    for batches in (
        train_batches(records, steps=1, with_names=False),
        eval_batches(records, with_names=False),
    ):
        assert set(batches[0]) == {"image", "label", "height", "width", "valid"}


# Refused before a graph is built.


def write_records(folder, records):
    (path,) = tfrecord.shard_paths(str(folder), "val", 1)
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(tfrecord.serialize(record))
    return data_config(folder, num_classes=4, ignore_label=255)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def record(number=0, **changes):
    height, width = sizes(number)
    values = {
        "name": f"image_{number}",
        "image": png(pixels(number, height, width)),
        "image_format": "png",
        "height": height,
        "width": width,
        "label": png(labels(number, height, width)),
    }
    return tfrecord.Record(**{**values, **changes})


def refused(options, training=True, error=UserError, split="val"):
    dataset = Dataset.open(options)
    check = dataset.check_training if training else dataset.check_evaluation
    with pytest.raises(error) as caught:
        check(split)
    assert not tf.get_default_graph().get_operations()
    return str(caught.value)


def test_good_records_are_accepted(tmp_path):
    dataset = Dataset.open(write_records(tmp_path, [record(0), record(1)]))
    dataset.check_training("val")
    dataset.check_evaluation("val")
    assert dataset.count("val") == 2


def test_an_image_larger_than_the_evaluation_crop_is_named_with_the_crop_to_pass(records):
    options = data_config(records, eval_crop_size=(30, 28))
    message = refused(options, training=False, error=OptionError)
    assert message == (
        "image val_0 of split val is 20x31 (height x width), larger than --eval_crop_size=30,28; "
        "pass --eval_crop_size=32,31, which holds every image of the split, or "
        "--eval_crop_size=auto to evaluate each at its own size."
    )


def test_sizes_after_the_resize_count(records):
    options = data_config(records, min_resize_value=50, eval_crop_size=(64, 64))
    message = refused(options, training=False, error=OptionError)
    assert "image val_0 of split val is 50x77 after resizing" in message
    options = data_config(records, min_resize_value=50, eval_crop_size=(70, 77))
    assert len(eval_batches(records, options=options)) == 3


def test_sizes_are_those_of_the_images_whatever_the_records_state(tmp_path):
    options = write_records(tmp_path, [record(2, height=0, width=0), record(1, height=999)])
    Dataset.open(options).check_evaluation("val")
    assert eval_batches(tmp_path, options=options)[0]["height"].tolist() == [26, 23]


def test_labels_outside_of_the_classes_are_named(tmp_path):
    label = labels(1, *sizes(1))
    label[0, 0] = 9
    options = write_records(tmp_path, [record(0), record(1, label=png(label))])
    message = refused(options)
    assert "record 1 of" in message
    assert "label of image_1 holds 9, but" in message
    assert "has 4 classes (0 to 3) and ignore label 255" in message


def test_labels_of_colours_are_named(tmp_path):
    image = Image.fromarray(labels(0, *sizes(0)))
    image.putpalette(list(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    options = write_records(tmp_path, [record(0, label=buffer.getvalue())])
    assert "label of image_0 holds colours (mode P), not class numbers" in refused(options)


def test_a_label_of_another_size_is_named(tmp_path):
    options = write_records(tmp_path, [record(0, label=png(labels(0, 9, 9)))])
    assert "image image_0 is 20x31 (height x width), but its label is 9x9" in refused(options)


def test_a_damaged_image_is_named(tmp_path):
    content = record(1).image
    options = write_records(tmp_path, [record(0), record(1, image=content[:90])])
    assert "image image_1: " in refused(options)
    options = write_records(tmp_path, [record(0), record(1, image=b"text")])
    assert "image image_1: cannot identify image file" in refused(options, training=False)


def test_a_record_that_is_no_example_is_named(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "val-00000-of-00001.tfrecord")) as writer:
        writer.write(b"\xff\xff\xff")
    options = data_config(tmp_path, num_classes=4, ignore_label=255)
    for training in (True, False):
        assert "record 0 of" in refused(options, training=training)


def test_training_needs_labels_and_evaluation_does_not(tmp_path):
    options = write_records(tmp_path, [record(0, label=b""), record(1, label=b"")])
    assert "image image_0 has no label" in refused(options)
    batch = eval_batches(tmp_path, options=options)[0]
    assert np.all(batch["label"] == 255)
    assert batch["valid"].tolist() == [1, 1]


def test_an_empty_split_is_named(tmp_path):
    options = write_records(tmp_path, [])
    assert "split val of" in refused(options)
    assert refused(options).endswith("has no images.")


def test_a_number_of_images_other_than_dataset_json_says_is_noticed(tmp_path):
    folder = make_records(tmp_path, val=3)
    path = os.path.join(folder, "dataset.json")
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    content["splits"]["val"]["num_images"] = 4
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    message = refused(data_config(folder))
    assert "hold 3 images, but dataset.json says 4; convert the data again" in message


def test_a_failure_in_the_pipeline_is_explained_by_the_record(tmp_path):
    many = [record(number % 5) for number in range(200)]
    # Not among the records that are looked at before training.
    many[100] = record(0, name="odd", image=record(0).image[:90])
    dataset = Dataset.open(write_records(tmp_path, many))
    dataset.check_training("val")
    with pytest.raises(UserError, match="record 100 of .* cannot be used: image odd: "):
        dataset.explain_failure("val", training=True)
    assert dataset.count("val") == 200


# Records that are skipped.


@pytest.fixture
def one_bad(tmp_path):
    """Returns options for 7 records of which number 3 is damaged, and those for the good 6."""
    good = [record(number % 5, name=f"image_{number}") for number in range(7)]
    bad = [*good[:3], record(0, name="odd", image=good[0].image[:90]), *good[4:]]
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    options = write_records(tmp_path / "bad", bad)
    skipping = options.with_values({"on_bad_record": "skip"}, "default")
    return skipping, write_records(tmp_path / "good", good[:3] + good[4:])


def test_without_the_skipped_records_everything_is_as_if_they_were_not_there(one_bad):
    skipping, good = one_bad

    def batches(options, **arguments):
        made = Dataset.open(options).train_batches(
            split="val", batch_size=2, pad_color=PAD, seed=1, **arguments
        )
        return run(made, 4)

    assert_equal(batches(skipping), batches(good))
    assert_equal(batches(skipping, start_step=3), batches(good, start_step=3))
    assert_equal(batches(skipping, rank=1, ranks=2), batches(good, rank=1, ranks=2))
    evaluated = eval_batches(None, options=skipping)
    assert_equal(evaluated, eval_batches(None, options=good))
    dataset = Dataset.open(skipping)
    assert dataset.count("val") == 6
    assert len(dataset.index("val")) == 7


def test_skipped_records_are_named(one_bad, monkeypatch):
    said = []
    monkeypatch.setattr(
        dataset_module.logging, "warning", lambda text, *values: said.append(text % values)
    )
    skipping, _ = one_bad
    dataset = Dataset.open(skipping)
    dataset.check_training("val")
    assert "record 3 of" in said[0]
    assert "is left out: image odd: " in said[0]
    assert said[1].startswith("1 of the 7 records of split val are left out")
    dataset.check_training("val")
    assert len(said) == 2
    dataset.warn_of_skipped("val")
    assert said[2] == said[1]


def test_too_many_bad_records_are_an_error(one_bad):
    skipping, _ = one_bad
    options = skipping.with_values({"max_bad_records": 0}, "default")
    message = refused(options)
    assert "more than --max_bad_records=0 records cannot be used" in message
    assert "record 3 of" in message


def test_by_default_a_bad_record_is_an_error_that_says_how_to_go_on(one_bad):
    skipping, _ = one_bad
    message = refused(skipping.with_values({"on_bad_record": "fail"}, "default"))
    assert message.endswith("or leave such records out with --on_bad_record=skip.")


def test_a_split_of_bad_records_only_is_an_error(tmp_path):
    options = write_records(tmp_path, [record(0, image=b"text")])
    message = refused(options.with_values({"on_bad_record": "skip"}, "default"))
    assert "no record of split val can be used" in message


def test_images_keep_their_own_size_on_request(records):
    own = data_config(records, eval_crop_size=("auto",))
    batches = eval_batches(records, 1, own)
    assert names(batches) == [f"val_{number}" for number in range(VAL)]
    for number, batch in enumerate(batches):
        assert batch["image"].shape == (1, *sizes(number), 3)
        assert batch["label"].shape == (1, *sizes(number), 1)
        assert (batch["height"][0], batch["width"][0]) == sizes(number)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_batches_of_own_sizes_hold_images_of_one_size_and_each_image_once(tmp_path, ranks):
    # A record's number decides its size.
    stored = [0, 0, 2, 0, 1]
    write_records(tmp_path, [record(n, name=f"image_{i}") for i, n in enumerate(stored)])
    own = data_config(tmp_path, eval_crop_size=("auto",), num_classes=4, ignore_label=255)
    shares = [eval_batches(tmp_path, 2, own, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1
    counted = []
    for batch in (batch for share in shares for batch in share):
        for name, valid, size in zip(
            batch["name"], batch["valid"], zip(batch["height"], batch["width"])
        ):
            if valid:
                counted.append(name.decode())
                assert sizes(stored[int(counted[-1].split("_")[1])]) == size
            else:
                assert name == b""
    assert sorted(counted) == [f"image_{number}" for number in range(5)]


@pytest.mark.parametrize("value", [("auto", "auto"), (33,), (33, 0), (33, "auto")])
def test_a_crop_size_is_two_numbers_or_auto(tmp_path, value):
    with pytest.raises(OptionError, match=r"HEIGHT,WIDTH in pixels, or auto"):
        data_config(tmp_path, eval_crop_size=value)

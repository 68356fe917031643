"""Opening a data set: what describes it, raw data, and what is refused."""

import os

import numpy as np
import pytest

from datasets.dataset import Dataset
from datasets.records import shards
from tests.converting import convert
from tests.small_data import data_config, make_records, make_voc
from utils.compat import tf
from utils.errors import OptionError, UserError


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("voc"), train=3, val=2)


@pytest.fixture
def bare(tmp_path):
    """A folder of records without dataset.json."""
    (tmp_path / "train-00000-of-00001.tfrecord").write_bytes(b"")
    return tmp_path


def test_dataset_json_beats_the_known_sets(records):
    dataset = Dataset.open(data_config(records))
    assert (dataset.classes.count, dataset.classes.ignore_label) == (4, 255)
    assert dataset.description.splits == {"train": 3, "val": 2}
    assert dataset.classes.names == ("class_0", "class_1", "class_2", "class_3")
    assert dataset.classes.colors[1] == (128, 0, 0)
    assert (dataset.count("train"), dataset.count("val")) == (3, 2)


@pytest.mark.parametrize(("name", "value"), [("num_classes", 21), ("ignore_label", 0)])
def test_a_given_option_that_contradicts_dataset_json_is_refused(records, name, value):
    options = data_config(records, given=[name], **{name: value})
    with pytest.raises(OptionError, match=f"--{name}={value} contradicts .*dataset.json"):
        Dataset.open(options)


def test_a_given_option_that_agrees_with_dataset_json_is_fine(records):
    given = {"num_classes": 4, "ignore_label": 255}
    dataset = Dataset.open(data_config(records, given=given, **given))
    assert dataset.classes.count == 4


def test_a_known_set_with_other_classes_than_dataset_json_is_refused(records):
    with pytest.raises(OptionError, match="--dataset=cityscapes has 19 classes"):
        Dataset.open(data_config(records, given=["dataset"], dataset="cityscapes"))
    assert Dataset.open(data_config(records, dataset="cityscapes")).classes.count == 4


def test_without_dataset_json_the_known_set_serves(bare):
    dataset = Dataset.open(data_config(bare, dataset="ade20k"))
    assert (dataset.classes.count, dataset.classes.ignore_label) == (151, 0)
    assert dataset.classes.names[:3] == ("other", "wall", "building")
    assert dataset.description.splits == {"train": 20210}


def test_without_dataset_json_an_unknown_set_is_answered_with_the_known_ones(bare):
    with pytest.raises(OptionError, match="known: ade20k, cityscapes, coco2017, pascal_voc_seg"):
        Dataset.open(data_config(bare, dataset="camvid"))


def test_without_dataset_json_numbers_serve(bare):
    dataset = Dataset.open(data_config(bare, num_classes=3, ignore_label=9))
    assert (dataset.classes.count, dataset.classes.ignore_label) == (3, 9)
    assert dataset.description.splits == {"train": None}


def test_without_dataset_json_both_numbers_are_needed(bare):
    with pytest.raises(OptionError, match="--num_classes and --ignore_label together"):
        Dataset.open(data_config(bare, num_classes=3))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset_dir=.*/nowhere is not a folder"):
        Dataset.open(data_config(tmp_path / "nowhere"))
    with pytest.raises(OptionError, match="--dataset_dir is missing"):
        Dataset.open(data_config("x").with_values({"dataset_dir": None}, "default"))


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no records .*datasets.convert"):
        Dataset.open(data_config(tmp_path))


def test_an_interrupted_conversion_is_not_taken_for_data(bare):
    (bare / shards.INCOMPLETE_FILE).write_text("[]")
    with pytest.raises(UserError, match="was interrupted"):
        Dataset.open(data_config(bare))


# Raw data.


def command(values):
    given = {name: value for name, value in values.items() if name != "output_dir"}
    return " ".join(["pascal_voc", *(f"--{name}={value}" for name, value in given.items())])


def open_raw(text):
    return Dataset.open(data_config(text))


def first_batch(dataset):
    with tf.Graph().as_default(), tf.Session() as session:
        batches = dataset.train_batches(split="train", batch_size=3, pad_color=(1.0, 2.0, 3.0))
        iterator = tf.data.make_initializable_iterator(batches)
        following = iterator.get_next()
        session.run(iterator.initializer)
        return session.run(following)


def test_batches_of_raw_data_are_those_of_converted_data(tmp_path):
    values = make_voc(tmp_path, palette=True, train=3)
    convert("pascal_voc", values)
    converted, raw = open_raw(values["output_dir"]), open_raw(command(values))
    assert os.path.isdir(raw.folder)
    expected, actual = first_batch(converted), first_batch(raw)
    for key in expected:
        np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)
    assert raw.fingerprint("train") == converted.fingerprint("train")


@pytest.mark.parametrize(
    "text", ["a --b", "pascal_voc folders --splits=a", "pascal_voc --output_dir=x", "x --splits='"]
)
def test_what_is_not_a_format_with_its_flags_is_refused(text):
    with pytest.raises(OptionError, match="--dataset_dir="):
        open_raw(text)


def test_raw_files_that_cannot_be_used_are_named(tmp_path):
    values = make_voc(tmp_path, train=2)
    (tmp_path / "Masks" / "train_1.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"train_1.png"):
        open_raw(command(values))

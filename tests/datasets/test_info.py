import dataclasses
import json

import pytest

from datasets import info as dataset_info
from datasets.records import shards
from tests.resources import golden_json
from tests.small_data import data_options, make_records
from utils.errors import OptionError, UserError


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("voc"), train=3, val=2)


@pytest.fixture
def bare(tmp_path):
    """A folder of records without dataset.json."""
    (tmp_path / "train-00000-of-00001.tfrecord").write_bytes(b"")
    return tmp_path


def test_the_known_sets_are_those_of_the_reference():
    expected = golden_json("tfrecord_schema.json")["datasets"]
    assert set(expected) == set(dataset_info.KNOWN)
    for name, info in dataset_info.KNOWN.items():
        stated = {key: getattr(info, key) for key in expected[name]}
        assert stated == expected[name]
        assert len(info.class_names) == len(info.colors) == info.num_classes
        assert info.name == name


def test_dataset_json_beats_the_known_sets(records):
    info = dataset_info.load(data_options(records))
    assert (info.num_classes, info.ignore_label) == (4, 255)
    assert info.splits == {"train": 3, "val": 2}
    assert info.class_names == ("class_0", "class_1", "class_2", "class_3")
    assert info.colors[1] == (128, 0, 0)


def test_what_is_saved_is_read_back(tmp_path):
    info = dataset_info.KNOWN["cityscapes"]
    dataset_info.save(str(tmp_path), info, {"val_fine": {"format": "x"}})
    path = str(tmp_path / "dataset.json")
    assert dataset_info.read(path) == info
    assert dataset_info.read_origins(path)["val_fine"] == {"format": "x"}
    assert dataset_info.read_origins(path)["train_fine"] is None


@pytest.mark.parametrize(("name", "value"), [("num_classes", 21), ("ignore_label", 0)])
def test_a_given_option_that_contradicts_dataset_json_is_refused(records, name, value):
    options = data_options(records, **{name: value})
    with pytest.raises(OptionError, match=f"--{name}={value} contradicts .*dataset.json"):
        dataset_info.load(options, frozenset([name]))


def test_a_given_option_that_agrees_with_dataset_json_is_fine(records):
    options = data_options(records, num_classes=4, ignore_label=255)
    info = dataset_info.load(options, frozenset(["num_classes", "ignore_label"]))
    assert info.num_classes == 4


def test_a_known_set_with_other_classes_than_dataset_json_is_refused(records):
    options = data_options(records, dataset="cityscapes")
    with pytest.raises(OptionError, match="--dataset=cityscapes has 19 classes"):
        dataset_info.load(options, frozenset(["dataset"]))
    assert dataset_info.load(options).num_classes == 4


def test_without_dataset_json_the_known_set_serves(bare):
    info = dataset_info.load(data_options(bare, dataset="ade20k"))
    assert (info.num_classes, info.ignore_label) == (151, 0)
    assert info.class_names[:3] == ("other", "wall", "building")
    assert info.splits == {"train": 20210}


def test_without_dataset_json_an_unknown_set_is_answered_with_the_known_ones(bare):
    with pytest.raises(OptionError, match="known: ade20k, cityscapes, coco2017, pascal_voc_seg"):
        dataset_info.load(data_options(bare, dataset="camvid"))


def test_without_dataset_json_numbers_serve(bare):
    info = dataset_info.load(data_options(bare, num_classes=3, ignore_label=9))
    assert (info.num_classes, info.ignore_label) == (3, 9)
    assert info.splits == {"train": None}


def test_without_dataset_json_both_numbers_are_needed(bare):
    with pytest.raises(OptionError, match="pass --num_classes and --ignore_label together"):
        dataset_info.load(data_options(bare, num_classes=3))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset_dir=.*/nowhere is no folder"):
        dataset_info.load(data_options(tmp_path / "nowhere"))
    with pytest.raises(OptionError, match="--dataset_dir is missing"):
        dataset_info.load(dataclasses.replace(data_options("x"), dataset_dir=None))


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no records .*datasets.convert"):
        dataset_info.load(data_options(tmp_path))


def test_an_interrupted_conversion_is_not_taken_for_data(bare):
    (bare / shards.INCOMPLETE_FILE).write_text("[]")
    with pytest.raises(UserError, match="was interrupted; run the same"):
        dataset_info.load(data_options(bare))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ("[]", "does not describe a data set"),
        ('{"num_classes": 2, "splits": {}}', "ignore_label"),
        (
            json.dumps(
                {"num_classes": 2, "ignore_label": 255, "splits": {}, "class_names": ["one"]}
            ),
            "has 1 class_names, but num_classes is 2",
        ),
    ],
)
def test_a_broken_dataset_json_gets_a_sentence(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        dataset_info.load(data_options(tmp_path))

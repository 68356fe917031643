import json

import pytest

from datasets import description
from datasets.description import Description
from datasets.known import KNOWN
from tests.resources import golden_json
from utils.classes import BINARY, ClassSet
from utils.errors import UserError


def test_the_known_sets_are_those_of_the_reference():
    expected = golden_json("tfrecord_schema.json")["datasets"]
    assert set(expected) == set(KNOWN)
    for name, known in KNOWN.items():
        stated = {
            "num_classes": known.classes.count,
            "ignore_label": known.classes.ignore_label,
            "splits": known.splits,
        }
        assert stated == {key: expected[name][key] for key in stated}
        assert known.name == name


def test_what_is_saved_is_read_back(tmp_path):
    classes = ClassSet(("a", "b"), ((1, 2, 3), (4, 5, 6)), 9, BINARY, name="cells")
    saved = Description(classes, {"train": 5, "val": None})
    description.save(str(tmp_path), saved, {"val": {"format": "x"}})
    path = str(tmp_path / "dataset.json")
    assert description.read(path) == saved
    assert description.read_origins(path) == {"train": None, "val": {"format": "x"}}


def test_a_file_of_an_older_version_is_read(tmp_path):
    content = {"num_classes": 3, "ignore_label": 255, "splits": {"val": {"num_images": 2}}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    read = description.read(str(tmp_path / "dataset.json"))
    assert read.classes == ClassSet(("class_0", "class_1", "class_2"), name=tmp_path.name)
    assert read.splits == {"val": 2}


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
            "1 class_names, but num_classes is 2",
        ),
    ],
)
def test_a_broken_dataset_json_gets_a_sentence(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        description.read(str(tmp_path / "dataset.json"))

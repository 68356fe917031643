import dataclasses
import json

import numpy as np
import pytest

from utils.classes import BINARY, MULTICLASS, MULTILABEL, TASKS, ClassSet, default_names
from utils.errors import OptionError

CLASSES = ClassSet(
    ("sky", "road", "car"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)), 11, MULTILABEL, name="street"
)


def test_the_dict_of_classes_gives_the_same_classes():
    content = json.loads(json.dumps(CLASSES.to_dict()))
    assert set(content) == {"num_classes", "class_names", "colors", "ignore_label", "task"}
    assert ClassSet.from_dict(content, "street") == CLASSES


def test_a_dict_of_an_older_version_is_read():
    classes = ClassSet.from_dict({"num_classes": 3, "ignore_label": 255, "splits": {}})
    assert classes == ClassSet(default_names(3))
    assert classes.task == MULTICLASS
    export = {"task": "semantic segmentation", "class_names": ["a", "b"], "ignore_label": None}
    assert ClassSet.from_dict(export) == ClassSet(("a", "b"), ignore_label=None)


def test_colors_are_those_of_pascal_voc_by_default():
    assert ClassSet(("a", "b")).colors == ((0, 0, 0), (128, 0, 0))
    assert isinstance(ClassSet("ab", np.zeros([2, 3], np.uint8)).colors[0][0], int)


def test_classes_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="2 colours for 3 classes"):
        ClassSet("abc", [(0, 0, 0), (1, 1, 1)])
    with pytest.raises(ValueError, match=", ".join(TASKS)):
        ClassSet("abc", task="panoptic")
    with pytest.raises(ValueError, match="2 classes, not 3"):
        ClassSet("abc", task=BINARY)
    with pytest.raises(ValueError, match="num_classes is 4"):
        ClassSet.from_dict({"num_classes": 4, "class_names": ["a", "b"], "ignore_label": 255})


def test_the_ignore_label_does_not_count():
    assert CLASSES.counted == (0, 1, 2)
    assert dataclasses.replace(CLASSES, ignore_label=1).counted == (0, 2)


def test_masks_hold_the_values_of_the_classes():
    labels = np.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(CLASSES.to_mask(labels), labels)
    classes = CLASSES.with_mask_values((7, 8, 21))
    np.testing.assert_array_equal(classes.to_mask(labels), [[7, 21], [8, 8]])
    assert classes.palette()[21].tolist() == [7, 8, 9]
    assert classes.palette()[1].tolist() == [128, 0, 0]
    assert classes.table()[2] == {"id": 2, "name": "car", "color": [7, 8, 9], "mask_value": 21}
    with pytest.raises(OptionError, match="2 label ids for 3 classes"):
        CLASSES.with_mask_values((1, 2))


def test_only_classes_beside_a_background_begin_with_black():
    names = ("ground", "object")
    assert ClassSet(names).colors == ((0, 0, 0), (128, 0, 0))
    assert ClassSet(names, task="multilabel").colors == ((128, 0, 0), (0, 128, 0))

import numpy as np
import pytest

from tests.converting import convert, dataset_json, labels_by_name
from tests.small_trees import ADE20K_MASK as MASK
from tests.small_trees import make_ade20k
from utils.errors import UserError


@pytest.fixture
def ade(tmp_path):
    make_ade20k(tmp_path)
    options = {"output_dir": str(tmp_path / "out")}
    for split, folder in (("train", "training"), ("val", "validation")):
        options[f"{split}_image_folder"] = str(tmp_path / "images" / folder)
        options[f"{split}_image_label_folder"] = str(tmp_path / "annotations" / folder)
    return options


def test_labels_are_the_values_of_the_masks_and_0_never_counts(ade):
    convert("ade20k", ade)
    info = dataset_json(ade["output_dir"])
    assert (info["num_classes"], info["ignore_label"]) == (151, 0)
    assert info["class_names"][:3] == ["other", "wall", "building"]
    assert info["class_names"][150] == "flag"
    found = labels_by_name(ade["output_dir"], "train")
    assert list(found) == [f"ADE_train_{index:08d}" for index in range(3)]
    np.testing.assert_array_equal(found["ADE_train_00000001"], MASK)


def test_labels_can_begin_at_0(ade):
    convert("ade20k", ade, reduce_zero_label=True)
    info = dataset_json(ade["output_dir"])
    assert (info["num_classes"], info["ignore_label"]) == (150, 255)
    assert info["class_names"][0] == "wall"
    label = labels_by_name(ade["output_dir"], "val")["ADE_val_00000000"]
    np.testing.assert_array_equal(label[0], [255, *range(150)])


def test_the_two_kinds_of_labels_are_not_mixed_in_one_folder(ade):
    convert("ade20k", ade, splits=["val"])
    with pytest.raises(UserError, match="holds the splits val with other classes .151, ignore la"):
        convert("ade20k", ade, splits=["train"], reduce_zero_label=True)


def test_a_missing_folder_is_named_by_its_flag(ade):
    with pytest.raises(UserError, match="--val_image_label_folder=nowhere is not a folder"):
        convert("ade20k", ade, val_image_label_folder="nowhere")

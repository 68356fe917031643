import numpy as np
import pytest
from PIL import Image

from tests.converting import convert, dataset_json, labels_by_name, read_records
from tests.resources import data_folder
from tests.small_data import save_mask
from tests.small_trees import make_cityscapes
from utils.errors import UserError

# Of the classes road, sidewalk... bicycle. Source: cityscapesScripts.
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


@pytest.fixture
def root(tmp_path):
    make_cityscapes(tmp_path)
    return tmp_path


def options(root, **values):
    return {"cityscapes_root": str(root), "output_dir": str(root / "out"), **values}


def test_label_ids_become_train_ids(root):
    convert("cityscapes", options(root))
    info = dataset_json(root / "out")
    assert info["num_classes"] == 19
    assert {split: value["num_images"] for split, value in info["splits"].items()} == {
        "train": 2,
        "val": 1,
    }
    label = labels_by_name(root / "out", "train")["aachen_000001_000019"]
    expected = [LABEL_IDS.index(value) if value in LABEL_IDS else 255 for value in range(35)]
    assert label[0].tolist() == expected
    assert len(list((root / "out").glob("train-*-of-00010.tfrecord"))) == 10


def test_train_ids_are_taken_as_they_are(root):
    for path in list(root.glob("gtFine/*/*/*_labelIds.png")):
        mask = np.asarray(Image.open(path))
        save_mask(path.with_name(path.name.replace("labelIds", "labelTrainIds")), mask % 19)
    convert("cityscapes", options(root))
    label = labels_by_name(root / "out", "val")["ulm_000000_000019"]
    assert label[0, :34].tolist() == [value % 19 for value in range(34)]
    origin = dataset_json(root / "out")["splits"]["val"]["converted_from"]
    assert origin["cityscapes_labels"] == "labelTrainIds"
    second = options(root, output_dir=str(root / "out2"), cityscapes_labels="labelIds")
    convert("cityscapes", second, splits=["val"])
    assert labels_by_name(root / "out2", "val")["ulm_000000_000019"][0, 7] == 0


def test_the_test_split_has_no_labels(root):
    convert("cityscapes", options(root), splits=["test"])
    assert [record.label for record in read_records(root / "out", "test")] == [b""]


def test_what_is_missing_is_named(root):
    def refused(match, **values):
        with pytest.raises(UserError, match=match):
            convert("cityscapes", options(root, **values))

    refused("has no folder leftImg8bit", cityscapes_root="nowhere")
    refused("--splits=train_extra: train_extra is not among", splits=["train_extra"])
    refused(
        "2 of 2 images of split train have no mask; .*gtCoarse_labelIds.png",
        cityscapes_ground_truth="gtCoarse",
    )
    next(root.glob("gtFine/val/*/*")).unlink()
    refused("1 of 1 images of split val have no mask; .*ulm_000000_000019_gtFine_labelIds.png")


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_a_real_miniature_is_converted(tmp_path, kind):
    root = data_folder("cityscapes") / "pseudo_cityscapes_dataset"
    values = {"cityscapes_root": str(root), "cityscapes_labels": kind}
    convert("cityscapes", values, output_dir=str(tmp_path))
    (label,) = labels_by_name(tmp_path, "val").values()
    path = next(root.glob(f"gtFine/val/*/*_{kind}.png"))
    raw = np.asarray(Image.open(path))
    if kind == "labelTrainIds":
        np.testing.assert_array_equal(label, raw)
    else:
        for train_id, label_id in enumerate(LABEL_IDS):
            np.testing.assert_array_equal(label == train_id, raw == label_id)


def test_real_images_of_full_size_are_converted(tmp_path):
    root = data_folder("cityscapes")
    values = {"cityscapes_root": str(root), "splits": ["train"]}
    convert("cityscapes", values, output_dir=str(tmp_path))
    found = labels_by_name(tmp_path, "train")
    assert list(found) == ["aachen_000000_000019", "aachen_000002_000019"]
    assert {label.shape for label in found.values()} == {(1024, 2048)}
    # Most of an image of a street is road.
    assert all(np.bincount(label.ravel()).argmax() == 0 for label in found.values())

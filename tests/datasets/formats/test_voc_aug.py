import io

import numpy as np
import pytest
from absl import logging
from PIL import Image

from tests import small_trees
from tests.converting import convert, dataset_json, labels_by_name
from tests.resources import data_folder
from tests.small_data import labels, save_mask
from utils.errors import OptionError, UserError


@pytest.fixture
def devkit(tmp_path):
    """VOC's devkit with 3 + 2 images and one more that only SBD has, as a folder and as .tar."""
    small_trees.make_devkit(tmp_path / "VOCdevkit" / "VOC2012", tmp_path / "VOC.tar")
    return tmp_path


@pytest.fixture
def sbd_folder(devkit):
    """SBD with masks of train_0, val_0 and sbd_0, all of them class 5."""
    small_trees.make_sbd(devkit / "dataset")
    return devkit / "dataset"


@pytest.fixture
def zipped(devkit):
    """SegmentationClassAug.zip with masks of train_0 and sbd_0, as macOS packs it."""
    small_trees.make_augmented(devkit / "aug.zip", devkit / "trainaug.txt")
    return str(devkit / "aug.zip")


def options(devkit, root="VOC.tar", **values):
    return {"voc_root": str(devkit / root), "output_dir": str(devkit / "out"), **values}


@pytest.mark.parametrize("root", ["VOC.tar", "."])
def test_archives_are_read_like_folders(devkit, zipped, root):
    lists = str(devkit / "trainaug.txt")
    convert("voc_aug", options(devkit, root, aug_folder=zipped, trainaug_list=lists))
    splits = dataset_json(devkit / "out")["splits"]
    numbers = {split: value["num_images"] for split, value in splits.items()}
    assert numbers == {"train": 3, "val": 2, "trainaug": 2}
    assert splits["trainaug"]["converted_from"]["aug_folder"] == zipped
    found = labels_by_name(devkit / "out", "trainaug")
    assert list(found) == ["sbd_0", "train_0"]
    np.testing.assert_array_equal(found["sbd_0"], labels(7, 20, 30))
    # The palette of VOC's own masks is gone.
    np.testing.assert_array_equal(labels_by_name(devkit / "out", "val")["val_1"], labels(1, 23, 29))


def test_sbd_s_files_serve_where_voc_has_no_training_mask(devkit, sbd_folder):
    convert("voc_aug", options(devkit, sbd_folder=str(sbd_folder)))
    found = labels_by_name(devkit / "out", "trainaug")
    # Nothing of val, although SBD has a mask of it.
    assert list(found) == ["sbd_0", "train_0", "train_1", "train_2"]
    assert (found["sbd_0"] == 5).all()
    np.testing.assert_array_equal(found["train_0"], labels(0, 20, 31))


def test_sbd_by_itself_has_its_own_splits(devkit, sbd_folder):
    images = str(devkit / "VOC.tar" / "VOCdevkit" / "VOC2012" / "JPEGImages")
    values = {"sbd_folder": str(sbd_folder), "image_folder": images}
    convert("sbd", values, output_dir=str(devkit / "out"))
    assert (labels_by_name(devkit / "out", "val")["val_0"] == 5).all()
    assert len(labels_by_name(devkit / "out", "train")) == 2


def test_numbers_that_are_not_voc_s_and_empty_lists_are_told(devkit, zipped, monkeypatch):
    told = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: told.append(text % values))
    path = devkit / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("")
    lists = str(devkit / "trainaug.txt")
    convert("voc_aug", options(devkit, ".", aug_folder=zipped, trainaug_list=lists))
    assert told[0].endswith("val.txt is empty: skipping split val.")
    assert told[1:] == [
        "Split train has 3 images; VOC 2012's has 1464.",
        "Split trainaug has 2 images; VOC 2012's has 10582.",
    ]


def refused(values, match, error=UserError, format_name="voc_aug"):
    with pytest.raises(error, match=match):
        convert(format_name, values)


def test_what_is_missing_is_named(devkit, zipped, sbd_folder):
    refused(options(devkit), "pass either --aug_folder .* or --sbd_folder", OptionError)
    refused(options(devkit, aug_folder=zipped), "trainaug.txt is missing; pass --trainaug_list")
    refused(options(devkit, aug_folder=str(devkit)), "has no masks .*nor has SegmentationClassAug")
    refused(options(devkit, "made", sbd_folder="x"), "made holds no devkit")
    twice = options(devkit, sbd_folder="x", image_folder="y")
    refused(twice, "--voc_root and --image_folder exclude each other", OptionError)
    refused(options(devkit, sbd_folder="x"), "--sbd_folder=x has no folder cls")
    refused({"output_dir": "x"}, "pass --sbd_folder", OptionError, "sbd")


def test_damaged_matlab_files_and_archives_are_named(devkit, sbd_folder):
    from scipy import io as scipy_io

    path = str(sbd_folder / "cls" / "sbd_0.mat")
    scipy_io.savemat(path, {"other": 1})
    refused(options(devkit, sbd_folder=str(sbd_folder)), "sbd_0.mat has no GTcls.Segmentation")
    (sbd_folder / "cls" / "sbd_0.mat").write_bytes(b"MATLAB")
    refused(options(devkit, sbd_folder=str(sbd_folder)), "sbd_0.mat has no GTcls.Segmentation")
    (devkit / "b.tgz").write_bytes(b"")
    refused(options(devkit, sbd_folder=str(devkit / "b.tgz")), "b.tgz is compressed as a whole")
    (devkit / "VOC.tar").write_bytes(b"no archive")
    refused(options(devkit, sbd_folder=str(sbd_folder)), "VOC.tar cannot be read as an archive")


def test_sbd_s_real_files_are_read():
    from scipy import io as scipy_io

    from datasets.files import mask_files
    from datasets.known import PASCAL_VOC

    reader = mask_files.MaskReader(PASCAL_VOC)
    paths = sorted((data_folder("sbd") / "dataset" / "cls").glob("*.mat"))
    assert len(paths) == 24
    for path in paths:
        content, size, counts = reader.read(str(path))
        stated = scipy_io.loadmat(str(path))["GTcls"]["CategoriesPresent"][0, 0].ravel()
        assert np.flatnonzero(counts)[1:].tolist() == sorted(stated.tolist())
        assert np.asarray(Image.open(io.BytesIO(content))).shape == size


def test_a_mask_of_another_class_is_refused(devkit, zipped):
    save_mask(devkit / "masks" / "sbd_0.png", np.full((20, 30), 21, np.uint8))
    (devkit / "trainaug.txt").write_text("sbd_0\n")
    values = {"aug_folder": str(devkit / "masks"), "trainaug_list": str(devkit / "trainaug.txt")}
    refused(options(devkit, **values), r"sbd_0.png holds 21, but there are 21 classes \(0 to 20\)")

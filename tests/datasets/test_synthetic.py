import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from datasets import description, synthetic, synthetic_scenes
from options.data_tools import SyntheticOptions
from tests.converting import convert
from utils.errors import UserError

pytestmark = pytest.mark.once

SCENES = 60


@pytest.fixture(scope="module")
def scenes():
    return [
        synthetic_scenes.draw(np.random.RandomState([0, number]), SyntheticOptions().difficulty)
        for number in range(SCENES)
    ]


def make(folder, **values):
    sizes = {"num_train": 3, "num_val": 2}
    synthetic.generate(SyntheticOptions(output_dir=str(folder), **{**sizes, **values}))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_that_of_pascal_voc(tmp_path):
    files = make(tmp_path / "voc")
    assert sorted(files) == [
        "ImageSets/Segmentation/train.txt",
        "ImageSets/Segmentation/val.txt",
        *(f"JPEGImages/train_0000{number}.jpg" for number in range(3)),
        *(f"JPEGImages/val_0000{number}.jpg" for number in range(2)),
        *(f"SegmentationClass/train_0000{number}.png" for number in range(3)),
        *(f"SegmentationClass/val_0000{number}.png" for number in range(2)),
        "classes.json",
        "synthetic.json",
    ]
    assert files["ImageSets/Segmentation/val.txt"] == b"val_00000\nval_00001\n"
    assert Image.open(tmp_path / "voc" / "SegmentationClass" / "val_00000.png").mode == "P"


def test_the_seed_decides_the_scenes(tmp_path):
    first = make(tmp_path / "first")
    assert make(tmp_path / "again") == first
    other = make(tmp_path / "other", seed=1)
    assert other["JPEGImages/train_00000.jpg"] != first["JPEGImages/train_00000.jpg"]
    longer = make(tmp_path / "longer", num_train=4)
    assert longer["JPEGImages/train_00002.jpg"] == first["JPEGImages/train_00002.jpg"]
    assert first["JPEGImages/train_00000.jpg"] != first["JPEGImages/val_00000.jpg"]


def test_the_command_again_keeps_what_is_there_and_refuses_other_settings(tmp_path):
    folder = tmp_path / "voc"
    files = make(folder)
    assert make(folder) == files
    with pytest.raises(UserError, match="--output_dir=.* holds other files"):
        make(folder, seed=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="choose another folder"):
        make(tmp_path / "mine")
    assert os.listdir(str(tmp_path / "mine")) == ["thesis.txt"]


def test_it_is_converted_by_the_command_that_is_shown(tmp_path):
    make(tmp_path / "voc")
    folder = str(tmp_path / "voc")
    convert(
        "pascal_voc",
        {},
        image_folder=f"{folder}/JPEGImages",
        semantic_segmentation_folder=f"{folder}/SegmentationClass",
        list_folder=f"{folder}/ImageSets/Segmentation",
        class_table=f"{folder}/classes.json",
        output_dir=str(tmp_path / "out"),
    )
    info = description.read(str(tmp_path / "out" / "dataset.json"))
    assert info.splits == {"train": 3, "val": 2}
    assert info.classes.names == synthetic_scenes.CLASS_NAMES
    assert (info.name, info.classes.ignore_label) == ("synthetic", 255)
    stamp = json.loads((tmp_path / "voc" / "synthetic.json").read_text())
    assert stamp["difficulty"] == 0.3


def test_masks_hold_every_class_and_a_border_around_each_object(scenes):
    masks = [mask for _, mask in scenes]
    counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
    assert set(np.flatnonzero(counts)) == {*range(len(synthetic_scenes.CLASS_NAMES)), 255}
    shares = counts / counts.sum()
    assert 0.4 < shares[0] < 0.75
    assert np.all(shares[1 : len(synthetic_scenes.CLASS_NAMES)] > 0.02)
    for mask in masks:
        for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            different = (one != other) & (one != 255) & (other != 255)
            assert not different.any()


def test_no_pixel_s_colour_gives_its_class_away(scenes):
    # The best guess by colour: the most frequent class of each of 512 boxes of colours in half of
    # the scenes, tried on the others. To be better a network must look at patterns and shapes.
    classes = len(synthetic_scenes.CLASS_NAMES)
    table = colours_and_classes(scenes[::2])
    confusion = np.zeros([classes, classes], np.int64)
    for labels, guess in zip(colours_and_classes(scenes[1::2]), table.argmax(axis=1)):
        confusion[:, guess] += labels
    hits = np.diag(confusion)
    iou = hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)
    assert iou.mean() < 0.2


def colours_and_classes(scenes):
    """Returns the number of pixels of each box of colours and class, [512, classes]."""
    table = np.zeros([512, 256], np.int64)
    for image, mask in scenes:
        boxes = (image // 32).astype(np.int64) @ [64, 8, 1]
        np.add.at(table, (boxes.ravel(), mask.ravel()), 1)
    return table[:, : len(synthetic_scenes.CLASS_NAMES)]


def test_scenes_differ_in_size_light_and_number_of_objects(scenes):
    assert len({image.shape for image, _ in scenes}) > SCENES // 2
    assert np.std([image.mean() for image, _ in scenes]) > 10
    assert all(image.std() > 15 for image, _ in scenes)
    # Up to six objects are drawn; some hide others.
    assert len({len(np.unique(mask)) for _, mask in scenes}) > 2

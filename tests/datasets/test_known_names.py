"""The scripts that DeepLab's users know start anywhere and take the reference's flags."""

import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from datasets import index_masks
from datasets.records import shards
from options.conversion import CONVERSION_RECORDS
from options.data_tools import IndexMasksOptions
from tests.resources import golden_json
from tests.small_data import labels, make_voc, save_mask
from utils.errors import UserError

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(command, folder):
    result = subprocess.run(
        [str(part) for part in command],
        cwd=str(folder),
        capture_output=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]


def test_build_voc2012_data_takes_the_reference_s_flags(tmp_path):
    options = make_voc(tmp_path, palette=True, train=2)
    flags = [f"--{name}={value}" for name, value in options.items() if name != "num_classes"]
    script = ROOT / "datasets" / "build_voc2012_data.py"
    run([sys.executable, script, "--image_format=jpg", *flags], tmp_path)
    assert shards.splits(options["output_dir"]) == ("train",)


def test_convert_voc2012_aug_finds_its_three_files_in_the_current_folder(tmp_path):
    make_voc(tmp_path / "made", train=2, val=1)
    with tarfile.open(str(tmp_path / "VOCtrainval_11-May-2012.tar"), "w") as archive:
        inside = "VOCdevkit/VOC2012"
        archive.add(str(tmp_path / "made" / "Images"), f"{inside}/JPEGImages")
        archive.add(str(tmp_path / "made" / "Masks"), f"{inside}/SegmentationClass")
        archive.add(str(tmp_path / "made" / "Lists"), f"{inside}/ImageSets/Segmentation")
    (tmp_path / "made" / "Masks").rename(tmp_path / "SegmentationClassAug")
    (tmp_path / "trainaug.txt").write_text("train_1\ntrain_0\n")
    run(["bash", ROOT / "datasets" / "convert_voc2012_aug.sh", "--num_shards=2"], tmp_path)
    folder = str(tmp_path / "pascal_voc_seg" / "tfrecord")
    assert shards.splits(folder) == ("train", "trainaug", "val")
    assert len(shards.index(folder, "trainaug").paths) == 2


@pytest.mark.parametrize(
    ("script", "records"),
    [
        ("build_voc2012_data", CONVERSION_RECORDS),
        ("build_cityscapes_data", CONVERSION_RECORDS),
        ("build_ade20k_data", CONVERSION_RECORDS),
        ("remove_gt_colormap", (IndexMasksOptions,)),
    ],
)
def test_flags_and_defaults_are_the_reference_s(script, records):
    entries = golden_json("flags.json")["entries"][script]
    defaults = {name: value for record in records for name, value in vars(record()).items()}
    text = (ROOT / "datasets" / f"{script}.py").read_text()
    for name, entry in entries.items():
        # The script itself may pass another default.
        same = defaults[name] == entry["default"]
        assert same or f"--{name}={entry['default']}" in text, name


def test_palettes_are_removed(tmp_path):
    for number, palette in enumerate((True, False)):
        save_mask(tmp_path / "in" / f"{number}.png", labels(number, 20, 30), palette)
    folders = {"original_gt_folder": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    assert index_masks.remove_palettes(IndexMasksOptions(**folders)) == 2
    for number in range(2):
        mask = Image.open(tmp_path / "out" / f"{number}.png")
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), labels(number, 20, 30))


def test_masks_of_colours_have_no_palette_to_remove(tmp_path):
    def refused(match):
        folders = {"original_gt_folder": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
        with pytest.raises(UserError, match=match):
            index_masks.remove_palettes(IndexMasksOptions(**folders))

    refused("--original_gt_folder=.*/in is not a folder")
    (tmp_path / "in").mkdir()
    refused("has no masks")
    save_mask(tmp_path / "in" / "a.png", np.zeros([4, 5, 3], np.uint8))
    refused("a.png is of mode RGB, not a mask of indices")

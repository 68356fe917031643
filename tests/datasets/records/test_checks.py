"""What the start of a training looks at; the defects themselves are in test_audit.py."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import dataset as dataset_module
from datasets.dataset import Dataset
from datasets.records import checks, shards, tfrecord
from tests.converting import convert
from tests.small_data import data_config, make_records, make_voc, png, save_mask
from utils.classes import ClassSet
from utils.errors import UserError


def warnings(monkeypatch, folder, split="train"):
    """Returns what the start of a training on a split warns of."""
    said = []
    for module in (dataset_module, checks):
        monkeypatch.setattr(
            module.logging, "warning", lambda text, *values: said.append(text % values)
        )
    Dataset.open(data_config(folder)).check_training(split)
    return said


def copy_split(folder, source, target):
    for path in shards.find(folder, source):
        name = os.path.basename(path).replace(source, target, 1)
        shutil.copy(path, os.path.join(folder, name))


def test_training_warns_of_a_record_that_is_also_in_an_evaluation_split(tmp_path, monkeypatch):
    folder = make_records(tmp_path, train=5, trainaug=3)
    assert warnings(monkeypatch, folder) == []
    copy_split(folder, "train", "val")
    (said,) = warnings(monkeypatch, folder)
    assert "train-00000-of-00004.tfrecord of split train is also record 0 of" in said
    # trainval holds val on purpose.
    copy_split(folder, "train", "trainval")
    assert warnings(monkeypatch, folder, "trainval") == []


def test_a_split_that_is_not_trained_on_may_be_damaged(tmp_path, monkeypatch):
    folder = make_records(tmp_path, train=5, val=3)
    os.remove(os.path.join(folder, "val-00001-of-00004.tfrecord"))
    (said,) = warnings(monkeypatch, folder)
    assert said.startswith("Split train is not compared with split val: 3 of 4 shards")


def test_training_refuses_labels_that_are_all_ignored(tmp_path):
    options = make_voc(tmp_path, train=2)
    for number in range(2):
        save_mask(
            tmp_path / "Masks" / f"train_{number}.png",
            np.full([20 + 3 * number, 31 - 2 * number], 255, np.uint8),
        )
    # 0 and 255 alone are refused by the conversion unless values have a meaning.
    del options["num_classes"]
    values = ("7:thing", "255:ignore")
    convert("pascal_voc", options, mask_values=values)
    dataset = Dataset.open(data_config(options["output_dir"]))
    with pytest.raises(UserError, match=r"all pixels of the 2 inspected labels are ignored"):
        dataset.check_training("train")
    checks.check_sample(dataset.index("train"), dataset.classes, needs_label=False)


def encoded(array, name, mode=None):
    content = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(content, name)
    return content.getvalue()


PHOTO, LABEL = np.zeros([2, 3, 3], np.uint8), np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


@pytest.mark.parametrize(
    ("image", "label", "problem"),
    [
        (encoded(PHOTO, "WEBP"), png(LABEL), "image a: is a WEBP file"),
        (encoded(PHOTO, "TIFF"), png(LABEL), "image a: is a TIFF file"),
        (encoded(PHOTO, "BMP"), png(LABEL), "image a: is a BMP file"),
        (png(PHOTO), png(LABEL.astype(np.uint16)), "label of a has 16 bits per pixel"),
        (png(PHOTO), encoded(LABEL > 0, "PNG", "1"), "label of a has 1 bits per pixel"),
        (png(PHOTO), encoded(LABEL, "JPEG"), "label of a is a JPEG file"),
    ],
)
def test_what_the_pipeline_reads_otherwise_than_the_check_is_refused(image, label, problem):
    record = tfrecord.Record("a", image, "png", 2, 3, label)
    classes = ClassSet(("sky", "road", "car"))
    assert problem in checks.inspect(record, classes, needs_label=True).defect.text
    good = tfrecord.Record("a", png(PHOTO), "png", 2, 3, png(LABEL))
    assert checks.inspect(good, classes, needs_label=True).defect is None


def test_records_that_do_not_look_like_the_default_data_set_are_refused(tmp_path):
    folder = make_records(tmp_path, train=3)
    os.remove(os.path.join(folder, "dataset.json"))
    with pytest.raises(UserError, match=r"labels of split train are 0 to 3 only: .*num_classes=4"):
        Dataset.open(data_config(folder)).check_training("train")
    Dataset.open(data_config(folder, given=["dataset"])).check_training("train")

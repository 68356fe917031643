"""The converter as a whole: what it finds, writes, refuses and leaves behind."""

import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import description, formats
from datasets.convert import output_folder
from datasets.known import KNOWN, PASCAL_VOC
from datasets.records import shards, tfrecord
from tests.converting import convert, decoded_label, read_records
from tests.resources import data_folder, golden_folder, golden_json
from tests.small_data import labels, make_voc, pixels, save_image, save_mask
from utils import colormap, variants
from utils.compat import tf
from utils.errors import OptionError, UserError

CAMVID_TABLE = "datasets/tables/camvid.json"


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*"))


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path, train=5, val=2)


def test_records_of_voc_equal_those_of_the_reference(tmp_path):
    folder = golden_folder() / "tiny_voc"
    options = {
        "image_folder": str(folder / "JPEGImages"),
        "semantic_segmentation_folder": str(folder / "SegmentationClassRaw"),
        "list_folder": str(folder / "ImageSets" / "Segmentation"),
        "output_dir": str(tmp_path / "out"),
    }
    convert("pascal_voc", options)
    expected = golden_json("tiny_voc.json")["shards"]
    assert set(expected) == {name for name in os.listdir(tmp_path / "out") if "-of-" in name}
    for name, records in expected.items():
        path = str(tmp_path / "out" / name)
        examples = [
            tf.train.Example.FromString(content)
            for content in tf.python_io.tf_record_iterator(path)
        ]
        assert [described(example) for example in examples] == records


def described(example):
    described = {}
    for key, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value)
        if key.endswith("/encoded"):
            digest = hashlib.sha256(values[0]).hexdigest()
            described[key] = {"type": kind, "bytes": len(values[0]), "sha256": digest}
        else:
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            described[key] = {"type": kind, "value": texts}
    return described


def test_records_hold_the_files_and_dataset_json_says_what_they_are(voc, tmp_path):
    convert("pascal_voc", voc)
    records = read_records(voc["output_dir"], "train")
    assert [record.name for record in records] == [f"train_{number}" for number in range(5)]
    for number, record in enumerate(records):
        image = tmp_path / "Images" / f"train_{number}.jpg"
        assert record.image == image.read_bytes()
        assert (record.height, record.width) == (20 + 3 * number, 31 - 2 * number)
        np.testing.assert_array_equal(
            decoded_label(record), labels(number, record.height, record.width)
        )
    info = description.read(os.path.join(voc["output_dir"], "dataset.json"))
    assert info.splits == {"train": 5, "val": 2}
    assert info.classes.count == 4


def test_without_a_table_voc_has_its_own_classes(voc):
    del voc["num_classes"]
    convert("pascal_voc", voc)
    info = description.read(os.path.join(voc["output_dir"], "dataset.json"))
    assert (info.name, info.classes.names) == ("pascal_voc_seg", PASCAL_VOC.names)


def test_the_voc_2012_devkit_is_converted_with_its_palette_masks(tmp_path):
    folder = data_folder("voc") / "VOC2012"
    options = {
        "image_folder": str(folder / "JPEGImages"),
        "semantic_segmentation_folder": str(folder / "SegmentationClass"),
        "list_folder": str(folder / "ImageSets" / "Segmentation"),
        "output_dir": str(tmp_path),
    }
    convert("pascal_voc", options)
    # val.txt is empty there.
    assert shards.splits(str(tmp_path)) == ("train", "trainval")
    for record in read_records(tmp_path, "train"):
        path = folder / "SegmentationClass" / f"{record.name}.png"
        np.testing.assert_array_equal(decoded_label(record), np.asarray(Image.open(path)))


def test_masks_in_voc_s_colours_are_converted_too(voc, tmp_path):
    del voc["num_classes"]
    for path in (tmp_path / "Masks").iterdir():
        save_mask(path, colormap.colorize(np.asarray(Image.open(path)), colormap.pascal(256)))
    convert("pascal_voc", voc)
    label = decoded_label(read_records(voc["output_dir"], "train")[2])
    np.testing.assert_array_equal(label, labels(2, 26, 27))


def camvid_options(folder, output_dir):
    names = ("image_folder", "semantic_segmentation_folder", "list_folder")
    options = dict.fromkeys(names, str(folder))
    return {**options, "class_table": CAMVID_TABLE, "output_dir": str(output_dir)}


def test_camvid_is_converted_by_one_command(tmp_path):
    folder = data_folder("camvid") / "CamVid"
    convert("folders", camvid_options(folder, tmp_path))
    info = description.read(str(tmp_path / "dataset.json"))
    assert info.splits == {"train": 367, "val": 101}
    assert (info.name, info.classes.count, info.classes.ignore_label) == ("camvid", 11, 11)
    # Pixels of each label, as the data's own description states them.
    expected = [1601620, 4531180, 98499, 5053176, 1521751, 2851125, 155724, 537197, 304716]
    expected += [113531, 387010, 297271]
    records = read_records(tmp_path, "val")
    counts = sum(np.bincount(decoded_label(record).ravel(), minlength=12) for record in records)
    assert counts.tolist() == expected
    first = records[0]
    assert first.name == "0016E5_07959"
    assert first.image == (folder / "val" / "0016E5_07959.jpg").read_bytes()


@pytest.fixture
def camvid(tmp_path):
    """A folder laid out like CamVid."""
    folder = tmp_path / "CamVid"
    for split, number in (("train", 3), ("val", 2), ("test", 2)):
        lines = []
        for index in range(number):
            name = f"{split[:2]}_{index}"
            save_image(folder / split / f"{name}.jpg", pixels(index, 20, 30))
            save_mask(folder / f"{split}annot" / f"{name}.png", labels(index, 20, 30) % 12)
            prefix = "/SegNet/CamVid"
            lines.append(f"{prefix}/{split}/{name}.png {prefix}/{split}annot/{name}.png\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


def test_a_split_can_be_converted_by_itself_and_added_later(camvid, tmp_path):
    options = camvid_options(camvid, tmp_path / "out")
    convert("folders", options, splits=["train", "val"])
    before = (tmp_path / "out" / "train-00000-of-00004.tfrecord").read_bytes()
    convert("folders", options, splits=["test"])
    info = description.read(str(tmp_path / "out" / "dataset.json"))
    assert info.splits == {"train": 3, "val": 2, "test": 2}
    assert (tmp_path / "out" / "train-00000-of-00004.tfrecord").read_bytes() == before
    assert all(record.label for record in read_records(tmp_path / "out", "test"))


def test_lists_of_bare_names_find_the_split_s_sub_folders(camvid, tmp_path):
    for path in camvid.glob("*.txt"):
        names = [line.split()[0].rsplit("/", 1)[1][:-4] for line in path.read_text().splitlines()]
        path.write_text("\n".join(names))
    convert("folders", camvid_options(camvid, tmp_path / "out"))
    assert shards.splits(str(tmp_path / "out")) == ("test", "train", "val")


def test_without_lists_sub_folders_are_splits(camvid, tmp_path):
    options = camvid_options(camvid, tmp_path / "out")
    del options["list_folder"]
    convert("folders", options)
    info = description.read(str(tmp_path / "out" / "dataset.json"))
    assert info.splits == {"test": 2, "train": 3, "val": 2}


def test_a_folder_without_sub_folders_is_one_split(voc):
    del voc["list_folder"]
    convert("folders", voc, splits=["all"])
    assert len(read_records(voc["output_dir"], "all")) == 7
    with pytest.raises(UserError, match="pass --list_folder, or --splits=NAME"):
        convert("folders", voc, output_dir=voc["output_dir"] + "2")


def test_a_test_split_without_masks_gets_records_without_labels(tmp_path):
    options = make_voc(tmp_path, train=2, test=2)
    for name in ("test_0.png", "test_1.png"):
        (tmp_path / "Masks" / name).unlink()
    convert("pascal_voc", options)
    assert [record.label for record in read_records(options["output_dir"], "test")] == [b"", b""]


def test_colour_masks_are_converted_by_the_table_s_colours(camvid, tmp_path):
    colors = [
        entry["color"] for entry in json.loads(pathlib.Path(CAMVID_TABLE).read_text())["classes"]
    ] + [[0, 0, 0]]
    for path in camvid.glob("*annot/*.png"):
        save_mask(path, np.array(colors, np.uint8)[np.asarray(Image.open(path))])
    convert("folders", camvid_options(camvid, tmp_path / "out"))
    label = decoded_label(read_records(tmp_path / "out", "train")[2])
    np.testing.assert_array_equal(label, labels(2, 20, 30) % 12)


# Bad input.


def refused(options, format_name="pascal_voc", error=UserError, **changes):
    """Returns the message of a conversion that must fail and leave nothing."""
    output = {**options, **changes}["output_dir"]
    before = tree(output)
    with pytest.raises(error) as caught:
        convert(format_name, options, **changes)
    assert tree(output) == before
    assert bool(before) == os.path.exists(output)
    return str(caught.value)


def test_an_unknown_format_is_answered_with_the_known_ones(voc):
    message = refused(voc, "coco_panoptic", OptionError)
    known = ", ".join(sorted(variants.collect(formats)))
    assert message == f"coco_panoptic is not a known format; known: {known}."


@pytest.mark.parametrize(
    "flag", ["image_folder", "semantic_segmentation_folder", "list_folder", "class_table"]
)
def test_a_missing_folder_or_file_is_named_by_its_flag(voc, flag):
    del voc["num_classes"]
    message = refused(voc, **{flag: "/nowhere/x.json"})
    assert message.startswith(f"--{flag}=/nowhere/x.json ")


def test_empty_folders_are_named(voc, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = str(tmp_path / "empty")
    assert refused(voc, list_folder=empty) == f"--list_folder={empty} has no lists (SPLIT.txt)."
    message = refused(voc, image_folder=empty)
    assert "train.txt, line 1: train_0 has no image (.jpg, .jpeg or .png) in" in message
    del voc["list_folder"]
    assert "has no images" in refused(voc, "folders", image_folder=empty, splits=["train"])


def test_a_line_that_names_nothing_is_shown_with_its_number(voc, tmp_path):
    (tmp_path / "Lists" / "val.txt").write_text("val_0\n\n/\n")
    assert "val.txt, line 3: / has no image" in refused(voc)


def test_lists_that_are_all_empty_are_named(voc, tmp_path):
    for path in (tmp_path / "Lists").iterdir():
        path.write_text("\n")
    assert "train.txt, " in refused(voc)
    assert "val.txt: no images are listed" in refused(voc)


def test_a_split_without_a_list_is_named(voc):
    assert "--splits=train,test: test is not among the lists" in refused(
        voc, splits=["train", "test"]
    )


def test_an_image_without_a_mask_is_named(voc, tmp_path):
    (tmp_path / "Masks" / "train_3.png").unlink()
    message = refused(voc)
    assert message.startswith("1 of 5 images of split train have no mask (.png) in")
    assert message.endswith("train_3.jpg.")


def test_an_image_and_a_mask_of_different_sizes_are_named(voc, tmp_path):
    save_mask(tmp_path / "Masks" / "train_1.png", labels(1, 29, 23))
    message = refused(voc)
    assert "train_1.jpg is 23x29 (height x width), but its mask" in message
    assert message.endswith("train_1.png is 29x23.")


def test_a_truncated_image_is_named(voc, tmp_path):
    path = tmp_path / "Images" / "val_1.jpg"
    path.write_bytes(path.read_bytes()[:-10])
    assert refused(voc) == f"nothing was converted: {path} is truncated."


def test_all_masks_with_values_outside_of_the_classes_are_named(voc, tmp_path):
    for name, value in (("train_1", 4), ("val_0", 17)):
        path = tmp_path / "Masks" / f"{name}.png"
        mask = np.array(Image.open(path))
        mask[0, :3] = value
        save_mask(path, mask)
    message = refused(voc)
    assert message.startswith("nothing was converted: 2 files cannot be used:")
    assert "train_1.png holds 4, but there are 4 classes (0 to 3) and ignore label 255" in message
    assert "val_0.png holds 17, but" in message


def test_masks_of_colours_are_refused_without_a_table(voc, tmp_path):
    save_mask(tmp_path / "Masks" / "train_1.png", pixels(0, 23, 29))
    assert "train_1.png is a mask of RGB colours, not class numbers; pass a" in refused(voc)


def test_masks_of_0_and_255_are_not_guessed(voc, tmp_path):
    for path in (tmp_path / "Masks").iterdir():
        save_mask(path, np.where(np.asarray(Image.open(path)) > 1, 255, 0).astype(np.uint8))
    assert refused(voc).endswith("for example --mask_values=0:membrane,255:cell.")
    convert("pascal_voc", camvid_like(voc), mask_values=["0:membrane", "255:cell"])
    found = decoded_label(read_records(voc["output_dir"], "train")[0])
    np.testing.assert_array_equal(found, labels(0, 20, 31) > 1)
    info = description.read(os.path.join(voc["output_dir"], "dataset.json"))
    assert (info.classes.names, info.classes.ignore_label) == (("membrane", "cell"), 255)


def test_the_number_of_classes_must_be_known_and_agree(voc, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\n")
    table = str(names)
    message = refused(voc, error=OptionError, class_table=table, num_classes=5)
    assert message.startswith("--num_classes=5 contradicts --class_table")
    del voc["num_classes"]
    assert "pass --num_classes, --class_table" in refused(voc, "folders", OptionError)
    message = refused(
        camvid_like(voc), "folders", OptionError, class_table=CAMVID_TABLE, ignore_label=0
    )
    assert message.startswith("--ignore_label=0 contradicts --class_table")
    convert("folders", voc, class_table=table)


def camvid_like(options):
    return {key: value for key, value in options.items() if key != "num_classes"}


def test_ids_that_begin_at_1_become_classes_from_0(voc):
    assert "pass --reduce_zero_label" in refused(voc, num_classes=3)
    convert("pascal_voc", voc, num_classes=3, reduce_zero_label=True)
    found = decoded_label(read_records(voc["output_dir"], "train")[0])
    before = labels(0, 20, 31)
    np.testing.assert_array_equal(found, np.where(before % 255 == 0, 255, before - 1))


def test_flags_of_another_format_are_refused(voc):
    message = refused(voc, error=OptionError, overlap="area")
    assert message.startswith("--overlap has no effect on the format pascal_voc, which takes --voc")


def test_two_images_of_one_name_are_refused(camvid, tmp_path):
    for folder in ("train", "trainannot"):
        shutil.copytree(str(camvid / folder), str(camvid / folder / "again"))
    options = camvid_options(camvid, tmp_path / "out")
    del options["list_folder"]
    assert "two images of split train have the same name" in refused(options, "folders")


def test_an_image_is_not_taken_for_its_own_mask(camvid, tmp_path):
    folder = str(camvid / "trainannot")
    options = camvid_options(folder, tmp_path / "out")
    del options["list_folder"]
    assert "would be its own mask" in refused(options, "folders", splits=["train"])


# The output folder.


def test_the_same_conversion_again_replaces_its_records(voc, tmp_path):
    convert("pascal_voc", voc)
    save_mask(tmp_path / "Masks" / "train_0.png", labels(9, 20, 31))
    convert("pascal_voc", voc, num_shards=2)
    output = voc["output_dir"]
    assert tree(output) == [
        "dataset.json",
        *(f"{split}-0000{n}-of-00002.tfrecord" for split in ("train", "val") for n in (0, 1)),
    ]
    np.testing.assert_array_equal(
        decoded_label(read_records(output, "train")[0]), labels(9, 20, 31)
    )


def test_records_of_another_conversion_are_not_replaced(voc, tmp_path):
    convert("pascal_voc", voc)
    other = make_voc(tmp_path / "other", train=2)
    message = refused(other, output_dir=voc["output_dir"])
    assert "holds the split train of another conversion" in message


def test_records_of_unknown_origin_are_not_touched(voc):
    output = pathlib.Path(voc["output_dir"])
    output.mkdir()
    (output / "train-00000-of-00001.tfrecord").write_bytes(b"")
    assert "holds records (train) without a dataset.json" in refused(voc)


def test_a_split_with_other_classes_is_not_added(voc):
    convert("pascal_voc", voc, splits=["train"])
    message = refused(voc, splits=["val"], num_classes=6)
    assert "holds the splits train with other classes (4, ignore label 255" in message
    convert("pascal_voc", voc, splits=["val"])


def test_an_output_folder_that_cannot_be_written_to_is_named(voc, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output_dir=.*/file cannot be written to: Not a dir"):
        convert("pascal_voc", voc, output_dir=str(tmp_path / "file"))


def test_a_conversion_that_is_interrupted_leaves_nothing(voc, monkeypatch):
    def interrupt(*unused):
        raise KeyboardInterrupt

    monkeypatch.setattr(tfrecord, "serialize", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert("pascal_voc", voc)
    assert tree(voc["output_dir"]) == []


def test_a_conversion_interrupted_while_files_are_put_in_place_is_seen_and_can_be_repeated(
    voc, monkeypatch
):
    def interrupt(*unused):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(description, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert("pascal_voc", voc)
    with pytest.raises(UserError, match="was interrupted"):
        shards.check_complete(voc["output_dir"])
    convert("pascal_voc", voc, splits=["train"])
    assert tree(voc["output_dir"]) == [
        "dataset.json",
        *(f"train-0000{number}-of-00004.tfrecord" for number in range(4)),
    ]


def test_another_conversion_of_the_same_files_replaces_them_and_is_described(voc):
    convert("pascal_voc", voc)
    convert("pascal_voc", camvid_like(voc), mask_values=["0:a", "1:b", "2:c", "3:d"])
    content = json.loads((pathlib.Path(voc["output_dir"]) / "dataset.json").read_text())
    origin = content["splits"]["train"]["converted_from"]
    assert origin["image_folder"] == voc["image_folder"]
    assert origin["options"]["mask_values"] == ["0:a", "1:b", "2:c", "3:d"]


def test_what_a_killed_conversion_left_is_removed(voc):
    output = pathlib.Path(voc["output_dir"])
    # No process has this number.
    (output / ".converting-99999999").mkdir(parents=True)
    (output / f".converting-{os.getpid()}").mkdir()
    folder = output_folder.OutputFolder(str(output), KNOWN["ade20k"], {})
    folder._remove_leftovers()
    assert tree(output) == [f".converting-{os.getpid()}"]

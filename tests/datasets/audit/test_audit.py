"""The audit: every defect has its sentence, and counts are exact."""

import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from datasets import class_weights
from datasets.audit import counts as audit_counts
from datasets.audit import run as audit
from datasets.dataset import Dataset
from datasets.records import shards, tfrecord
from options.config import Config
from options.conversion import CONVERSION_RECORDS
from options.data import DATA_RECORDS
from options.data_tools import AuditOptions
from options.loss import LossOptions
from tests.converting import convert
from tests.resources import data_folder
from tests.small_data import labels, make_records, make_voc, pixels, save_image, save_mask
from utils.compat import tf
from utils.errors import OptionError, UserError


def run(path, **values):
    """Audits; returns the findings as kind -> finding, and the content of audit.json."""
    output = str(values.get("output_dir", path))
    values = {"num_workers": 1, "num_samples": 3, **values}
    config = Config.create((*CONVERSION_RECORDS, AuditOptions), values)
    findings = audit.audit(audit.open_data(config, str(path)), config, output)
    with open(os.path.join(output, audit.JSON_FILE), encoding="utf-8") as file:
        content = json.load(file)
    assert os.path.exists(os.path.join(output, audit.PAGE_FILE))
    return {finding.kind: finding for finding in findings}, content


def problems(found):
    return sorted(kind for kind, finding in found.items() if finding.level == "problem")


@pytest.fixture
def voc(tmp_path):
    options = make_voc(tmp_path, train=4, val=0)
    for number in range(3):
        name = f"val_{number}"
        save_image(tmp_path / "Images" / f"{name}.jpg", pixels(50 + number, 24, 30))
        save_mask(tmp_path / "Masks" / f"{name}.png", labels(50 + number, 24, 30))
    (tmp_path / "Lists" / "val.txt").write_text("val_0\nval_1\nval_2\n")
    return options


def check_weights(folder, suggested):
    """Checks that a training computes the weights that the audit of its records suggests."""
    dataset = Dataset.open(Config.create(DATA_RECORDS, {"dataset_dir": str(folder)}))
    for formula, name in class_weights.NAMES.items():
        assert dataset.label_weights(suggested["split"], formula) == suggested[name]


def test_a_training_computes_the_weights_that_the_audit_suggests(tmp_path):
    folder = make_records(tmp_path, train=4, val=2)
    suggested = run(folder, output_dir=str(tmp_path))[1]["label_weights"]
    assert len(set(suggested["median frequency"])) > 1
    check_weights(folder, suggested)
    (field,) = (item for item in dataclasses.fields(LossOptions) if "from" in item.name)
    assert set(field.metadata["choices"]) == set(class_weights.NAMES)


def test_good_data_have_no_findings_and_exact_counts(voc):
    found, content = run("pascal_voc", **voc)
    assert found == {}
    masks = [labels(number, 20 + 3 * number, 31 - 2 * number) for number in range(4)]
    expected = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
    assert content["splits"]["train"]["pixels"] == expected[:4].tolist()
    assert content["splits"]["train"]["ignored_pixels"] == expected[255]
    assert content["splits"]["train"]["images_with_class"] == [4] * 4
    assert content["label_weights"]["split"] == "train"


def test_records_and_their_files_count_alike(voc, tmp_path):
    _, of_files = run("pascal_voc", **{**voc, "output_dir": str(tmp_path / "audit")})
    convert("pascal_voc", voc)
    found, of_records = run(voc["output_dir"])
    assert found == {}
    assert of_records["splits"] == of_files["splits"]
    assert of_records["label_weights"] == of_files["label_weights"]


def test_files_that_cannot_be_used_are_all_named(voc, tmp_path):
    image = tmp_path / "Images" / "train_0.jpg"
    image.write_bytes(image.read_bytes()[:-20])
    save_mask(tmp_path / "Masks" / "train_1.png", np.full([23, 29], 9, np.uint8))
    save_mask(tmp_path / "Masks" / "train_2.png", np.zeros([5, 6], np.uint8))
    save_image(tmp_path / "Masks" / "train_3.png", np.full([29, 25, 3], [7, 8, 9], np.uint8))
    found, content = run("pascal_voc", **voc)
    assert problems(found) == ["colors", "sizes_differ", "unknown_labels", "unreadable"]
    assert "train_0.jpg is truncated" in found["unreadable"].examples[0]
    assert "train_1.png holds 9" in found["unknown_labels"].examples[0]
    assert "is 26x27 (height x width), but its mask" in found["sizes_differ"].examples[0]
    assert "train_3.png is a mask of RGB colours" in found["colors"].examples[0]
    assert content["problems"] == 4


def test_masks_of_0_and_255_alone_are_not_taken_for_one_class(tmp_path):
    options = make_voc(tmp_path, train=3)
    for number in range(3):
        mask = np.where(labels(number, 20 + 3 * number, 31 - 2 * number) > 1, 255, 0)
        save_mask(tmp_path / "Masks" / f"train_{number}.png", mask.astype(np.uint8))
    found, _ = run("pascal_voc", **options)
    assert "only_0_and_255" in problems(found)
    assert "--mask_values=0:background,255:object" in found["only_0_and_255"].text


def test_an_image_in_two_splits_is_found_whatever_its_name_and_format(voc, tmp_path):
    shown = Image.open(tmp_path / "Images" / "train_2.jpg")
    (tmp_path / "Images" / "val_1.jpg").unlink()
    shown.save(tmp_path / "Images" / "val_1.png")
    save_mask(tmp_path / "Masks" / "val_1.png", labels(2, shown.height, shown.width))
    found, _ = run("pascal_voc", **voc)
    assert problems(found) == ["duplicates"]
    (example,) = found["duplicates"].examples
    assert "train_2.jpg = " in example
    assert "val_1.png" in example


def test_images_of_two_splits_that_look_alike_are_warned_of_on_request(voc, tmp_path):
    smooth = np.random.RandomState(0).randint(0, 256, [5, 7, 3]).astype(np.uint8)
    for name, size in (("train_1", (29, 23)), ("val_0", (30, 24))):
        picture = Image.fromarray(smooth).resize(size, Image.BICUBIC)
        save_image(tmp_path / "Images" / f"{name}.jpg", np.asarray(picture))
    found, content = run("pascal_voc", **voc)
    assert problems(found) == []
    (example,) = found["near_duplicates"].examples
    assert "train_1.jpg ~ " in example
    assert "val_0.jpg (" in example
    assert "1 pair" in content["findings"][0]["text"]
    assert "near_duplicates" not in run("pascal_voc", near_duplicates=0, **voc)[0]


def test_masks_outside_of_the_table_are_drawn_but_not_called_ignored(voc, tmp_path):
    table = {"classes": [{"name": "a", "color": [1, 2, 3]}], "ignore_color": [0, 0, 0]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    colors = np.zeros([20, 31, 3], np.uint8)
    colors[5] = 9
    save_image(tmp_path / "Masks" / "train_0.png", colors)
    del voc["num_classes"]
    found, _ = run("pascal_voc", **{**voc, "class_table": str(tmp_path / "table.json")})
    assert any("1 colours that are not in" in text for text in found["unknown_labels"].examples)
    assert "images_all_ignored" not in found


def test_trainval_may_hold_val(voc, tmp_path):
    lists = tmp_path / "Lists"
    lines = (lists / "train.txt").read_text() + (lists / "val.txt").read_text()
    (lists / "trainval.txt").write_text(lines)
    assert run("pascal_voc", **voc)[0] == {}


def test_images_without_content_are_warned_of(voc, tmp_path):
    save_image(tmp_path / "Images" / "train_0.jpg", np.zeros([20, 31, 3], np.uint8))
    save_mask(tmp_path / "Masks" / "train_1.png", np.full([23, 29], 255, np.uint8))
    found, _ = run("pascal_voc", **voc)
    assert problems(found) == []
    assert sorted(found) == ["blank_images", "images_all_ignored"]
    assert "train_1.jpg" in found["images_all_ignored"].examples[0]


def test_a_split_of_one_class_is_a_problem_and_absent_classes_a_warning(voc, tmp_path):
    for number in range(3):
        save_mask(tmp_path / "Masks" / f"val_{number}.png", np.zeros([24, 30], np.uint8))
    found, _ = run("pascal_voc", **voc)
    assert problems(found) == ["one_class"]
    assert found["one_class"].text.startswith("split val has only the class class_0")
    for number in range(4):
        path = tmp_path / "Masks" / f"train_{number}.png"
        mask = np.array(Image.open(path))
        save_mask(path, np.where(mask == 3, 2, mask).astype(np.uint8))
    save_mask(tmp_path / "Masks" / "val_0.png", labels(50, 24, 30))
    found, _ = run("pascal_voc", **voc)
    assert found["absent_classes"].text == ("1 of 4 classes never appear in split train: class_3.")
    assert found["classes_not_trained"].text.endswith(
        "in split val, but in no image of split train: class_3."
    )


def test_a_truncated_shard_is_named_and_the_others_are_counted(tmp_path):
    folder = make_records(tmp_path, train=8)
    path = os.path.join(folder, "train-00001-of-00004.tfrecord")
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 10)
    found, content = run(folder)
    assert "folder" in problems(found)
    assert content["splits"]["train"]["images"] == 6
    texts = " ".join(finding["text"] for finding in content["findings"])
    assert f"{path} is truncated in record 1" in texts
    assert "hold 6 records that can be found, but dataset.json says 8" in texts


def test_a_flipped_bit_in_a_record_is_found_by_its_checksum(tmp_path):
    folder = make_records(tmp_path, train=8)
    index = shards.index(folder, "train")
    path = index.paths[index.shard[3]]
    with open(path, "r+b") as file:
        # In the compressed image, where no decoder notices.
        file.seek(index.offset[3] + index.length[3] // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    found, _ = run(folder)
    assert "checksum" in problems(found)
    assert found["checksum"].examples == (f"record {index.place[3]} of {path}",)


def test_records_with_palettes_and_without_labels_are_named(tmp_path):
    folder = make_records(tmp_path, train=4)
    index = shards.index(folder, "train")
    records = [tfrecord.deserialize(index.read(number)) for number in range(4)]
    save_mask(tmp_path / "palette.png", labels(0, *sizes_of(records[0])), palette=True)
    changed = [
        replace(records[0], label=(tmp_path / "palette.png").read_bytes()),
        replace(records[1], label=b""),
        replace(records[2], image=b"nothing"),
        records[3],
    ]
    for path, record in zip(index.paths, changed):
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(tfrecord.serialize(record))
    found, _ = run(folder)
    assert problems(found) == ["colors", "no_label", "unreadable"]
    assert "record 0 of" in found["colors"].examples[0]
    assert "holds colours (mode P)" in found["colors"].examples[0]


def sizes_of(record):
    return record.height, record.width


def replace(record, **changes):
    return tfrecord.Record(**{**vars(record), **changes})


def test_records_without_dataset_json_need_a_word(tmp_path):
    folder = make_records(tmp_path, train=3)
    os.remove(os.path.join(folder, "dataset.json"))
    found, content = run(folder, num_classes=3, ignore_label=255)
    assert content["num_classes"] == 3
    assert "unknown_labels" in problems(found)
    assert run(folder, num_classes=4, ignore_label=255)[0].keys() == set()


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        ({"voc_root": "x"}, OptionError, "--voc_root has no effect on records"),
        ({"splits": ("test",)}, UserError, "has no records of split test"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, flags, error, message):
    folder = make_records(tmp_path, train=1)
    with pytest.raises(error, match=message):
        run(folder, **flags)


def test_a_path_that_is_nothing_is_refused():
    with pytest.raises(UserError, match="neither a folder of records nor a format"):
        run("nowhere", output_dir="unused")


def test_the_page_is_complete_and_escapes_names(voc, tmp_path):
    table = {"classes": [{"name": f"<b>{label}</b>"} for label in range(4)]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    del voc["num_classes"]
    run("pascal_voc", **{**voc, "class_table": str(tmp_path / "table.json")})
    page = (tmp_path / "records" / "audit.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;3" in page
    assert "<b>3" not in page
    assert page.count("data:image/jpeg;base64,") == 2 * 3
    assert "http" not in page
    assert "--label_weights=" in page


def test_several_processes_count_as_one(tmp_path, monkeypatch):
    folder = make_records(tmp_path, train=9, val=2)
    monkeypatch.setattr(audit_counts, "_FEWEST_PER_PROCESS", 1)
    monkeypatch.setattr(audit_counts, "_SAMPLES_PER_TASK", 2)
    alone, together = run(folder), run(folder, num_workers=3)
    assert alone[1] == together[1]


def camvid_options(output):
    folder = str(data_folder("camvid") / "CamVid")
    return {
        "image_folder": folder,
        "semantic_segmentation_folder": folder,
        "list_folder": folder,
        "class_table": "datasets/tables/camvid.json",
        "output_dir": str(output),
    }


# Of the data's own description.
CAMVID_TRAIN = [
    *(10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385),
    184967,
]
CAMVID_VAL = [
    *(1601620, 4531180, 98499, 5053176, 1521751, 2851125, 155724, 537197, 304716, 113531, 387010)
]


def test_pixels_of_camvid_are_the_known_ones(tmp_path):
    found, content = run("folders", num_workers=2, **camvid_options(tmp_path))
    assert found == {}
    train, val = content["splits"]["train"], content["splits"]["val"]
    assert (train["images"], train["pixels"], train["ignored_pixels"]) == (
        367,
        CAMVID_TRAIN,
        2503995,
    )
    assert (val["images"], val["pixels"], val["ignored_pixels"]) == (101, CAMVID_VAL, 297271)


def test_membrane_is_binary_until_its_values_have_names(tmp_path):
    folder = data_folder("membrane") / "train"
    options = {
        "image_folder": str(folder / "image"),
        "semantic_segmentation_folder": str(folder / "label"),
        "splits": ("train",),
        "output_dir": str(tmp_path),
    }
    found, _ = run("folders", num_classes=2, **options)
    assert "only_0_and_255" in problems(found)
    found, content = run("folders", mask_values=("0:membrane", "255:cell"), **options)
    assert found == {}
    assert sum(content["splits"]["train"]["pixels"]) == 20 * 512 * 512


def test_masks_of_salt_have_16_bits_and_some_images_are_blank(tmp_path):
    folder = data_folder("rle_salt") / "salt" / "train"
    options = {
        "image_folder": str(folder / "images"),
        "semantic_segmentation_folder": str(folder / "masks"),
        "val_fraction": 0.2,
        "output_dir": str(tmp_path),
    }
    found, _ = run("folders", num_classes=2, **options)
    assert len(found["unknown_labels"].examples) == 178
    found, content = run("folders", mask_values=("0:sediment", "65535:salt"), **options)
    assert problems(found) == []
    assert "blank_images" in found
    with_salt = [split["images_with_class"][1] for split in content["splits"].values()]
    assert sum(with_salt) == 178


def test_pixels_of_voc_are_those_of_its_palette_indices(tmp_path):
    folder = data_folder("voc") / "VOC2012"
    options = {
        "image_folder": str(folder / "JPEGImages"),
        "semantic_segmentation_folder": str(folder / "SegmentationClass"),
        "list_folder": str(folder / "ImageSets" / "Segmentation"),
        "splits": ("train",),
        "output_dir": str(tmp_path),
    }
    _, content = run("pascal_voc", **options)
    masks = [np.asarray(Image.open(path)) for path in (folder / "SegmentationClass").glob("*.png")]
    expected = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
    assert len(masks) == content["splits"]["train"]["images"] == 3
    assert content["splits"]["train"]["pixels"] == expected[:21].tolist()
    assert content["splits"]["train"]["ignored_pixels"] == expected[255]


# Several classes per pixel.


@pytest.fixture
def two_folders(tmp_path):
    """Images with masks of the classes road and wet, which overlap."""
    road, wet = np.zeros([2, 10, 12], bool)
    road[:6], wet[4:, :3] = True, True
    for number in range(4):
        save_image(tmp_path / "images" / f"{number}.png", pixels(number, 10, 12))
        save_mask(tmp_path / "masks" / "road" / f"{number}.png", road.astype(np.uint8))
        save_mask(tmp_path / "masks" / "wet" / f"{number}.png", wet.astype(np.uint8) * 255)
    return {
        "image_folder": str(tmp_path / "images"),
        "mask_folders": [str(tmp_path / "masks")],
        "output_dir": str(tmp_path / "out"),
        "val_fraction": 0.25,
    }


def test_classes_that_share_pixels_are_counted(two_folders, capsys):
    found, content = run("binary_masks", **two_folders)
    assert found == {}
    assert content["task"] == "multilabel"
    train = content["splits"]["train"]
    assert train["pixels"] == [3 * 72, 3 * 18]
    assert train["ignored_pixels"] == 0
    assert train["pixels_of_pairs"] == [[3 * 72, 3 * 6], [3 * 6, 3 * 18]]
    shown = capsys.readouterr().out
    assert "classes on the same pixels" in shown
    with open(os.path.join(two_folders["output_dir"], audit.PAGE_FILE), encoding="utf-8") as file:
        assert "Classes on the same pixels, split train" in file.read()
    convert("binary_masks", two_folders)
    _, of_records = run(two_folders["output_dir"])
    assert of_records["splits"] == content["splits"]
    check_weights(two_folders["output_dir"], of_records["label_weights"])


def test_a_split_without_any_class_is_a_problem(two_folders, tmp_path):
    for path in (tmp_path / "masks").glob("*/*.png"):
        save_mask(path, np.zeros([10, 12], np.uint8))
    found, _ = run("binary_masks", **two_folders)
    assert problems(found) == ["all_ignored"]
    assert "has no class" in found["all_ignored"].text


def test_records_of_other_sets_are_named(two_folders, tmp_path):
    convert("binary_masks", two_folders)
    path = os.path.join(two_folders["output_dir"], "dataset.json")
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    content.update(num_classes=1, class_names=["road"], colors=[[1, 2, 3]])
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    found, _ = run(two_folders["output_dir"])
    assert problems(found) == ["unknown_labels"]
    assert "holds 1, but" in found["unknown_labels"].examples[0]

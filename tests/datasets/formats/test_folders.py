import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.converting import convert, dataset_json, labels_by_name, read_records
from tests.resources import data_folder
from tests.small_data import make_voc
from utils.errors import OptionError, UserError
from utils.imaging import pillow


@pytest.fixture
def pairs(tmp_path):
    options = make_voc(tmp_path, train=10)
    del options["list_folder"]
    return options


def names(folder, split):
    return [record.name for record in read_records(folder, split)]


def test_a_draw_depends_on_its_seed_and_is_stored(pairs, tmp_path):
    convert("folders", pairs, val_fraction=0.3, split_seed=1)
    train, val = names(pairs["output_dir"], "train"), names(pairs["output_dir"], "val")
    assert (len(train), len(val)) == (7, 3)
    assert sorted(train + val) == [f"train_{number}" for number in range(10)]
    origin = dataset_json(pairs["output_dir"])["splits"]["val"]["converted_from"]
    assert (origin["val_fraction"], origin["split_seed"]) == (0.3, 1)
    other = str(tmp_path / "other")
    convert("folders", pairs, val_fraction=0.3, split_seed=2, output_dir=other)
    assert names(other, "val") != val
    convert("folders", pairs, val_fraction=0.3, split_seed=1)
    assert names(pairs["output_dir"], "val") == val


def test_splits_of_two_draws_are_not_mixed(pairs):
    convert("folders", pairs, val_fraction=0.3, splits=["val"])
    for change in ({"split_seed": 1}, {"val_fraction": 0.4}):
        with pytest.raises(UserError, match="holds the split val of another draw"):
            convert("folders", {**pairs, "val_fraction": 0.3, **change}, splits=["train"])
    convert("folders", pairs, val_fraction=0.3, splits=["train"])


def test_draws_that_make_no_sense_are_refused(pairs, tmp_path):
    def refused(match, **values):
        with pytest.raises(UserError, match=match):
            convert("folders", pairs, **values)

    refused("leaves a split empty", val_fraction=0.01)
    refused("both make splits", val_fraction=0.5, list_folder=str(tmp_path / "Lists"))
    refused("--split_seed has no effect without", split_seed=3)
    refused("--val_fraction is 1.5, but must be at most 0.99", val_fraction=1.5)


def folders(folder, images, masks, output, **values):
    return {
        "image_folder": str(folder / images),
        "semantic_segmentation_folder": str(folder / masks),
        "output_dir": str(output),
        **values,
    }


def test_membrane_s_masks_of_0_and_255_need_their_meaning(tmp_path):
    folder = data_folder("membrane") / "train"
    options = folders(folder, "image", "label", tmp_path / "out", splits=["train"])
    with pytest.raises(UserError, match="--mask_values=0:membrane,255:cell"):
        convert("folders", options, num_classes=2)
    convert("folders", options, mask_values=["0:membrane", "255:cell"])
    label = labels_by_name(tmp_path / "out", "train")["13"]
    raw = np.asarray(Image.open(str(folder / "label" / "13.png")))
    np.testing.assert_array_equal(label, raw == 255)


def test_salt_s_masks_of_16_bits_need_their_meaning(tmp_path):
    folder = data_folder("rle_salt") / "salt" / "train"
    options = folders(folder, "images", "masks", tmp_path / "out", splits=["train"])
    with pytest.raises(UserError, match="--mask_values=0:NAME,65535:NAME"):
        convert("folders", options, num_classes=2)
    convert("folders", options, mask_values=["0:background", "65535:salt"])
    found = labels_by_name(tmp_path / "out", "train")
    assert sum(label.any() for label in found.values()) == 178
    assert len(found) == 300


def test_aerial_ids_begin_at_1(tmp_path):
    folder = data_folder("aerial") / "pseudo_loveda_dataset"
    options = folders(folder, "img_dir", "ann_dir", tmp_path / "out", splits=["train"])
    with pytest.raises(UserError, match="holds 7, but there are 7 .* pass --reduce_zero_label"):
        convert("folders", options, num_classes=7)
    raw = np.asarray(Image.open(str(folder / "ann_dir" / "1.png")))
    convert("folders", options, num_classes=7, reduce_zero_label=True)
    (label,) = labels_by_name(tmp_path / "out", "train").values()
    np.testing.assert_array_equal(label, np.where(raw == 0, 255, raw - 1.0))
    # The other convention: ids as they are, and class 0 never counts.
    other = {**options, "output_dir": str(tmp_path / "other")}
    convert("folders", other, num_classes=8, ignore_label=0)
    (label,) = labels_by_name(tmp_path / "other", "train").values()
    np.testing.assert_array_equal(label, raw)


def test_labelme_s_export_is_converted_by_its_list_of_classes(tmp_path):
    folder = data_folder("labelme") / "semantic_segmentation" / "data_dataset_voc"
    options = folders(folder, "JPEGImages", "SegmentationClass", tmp_path, splits=["train"])
    convert("folders", options, class_table=str(folder / "class_names.txt"))
    label = labels_by_name(tmp_path, "train")["2011_000003"]
    assert sorted(set(label.ravel())) == [0, 5, 15, 255]


def test_flags_of_classes_that_contradict_each_other_are_refused(pairs):
    def refused(match, **values):
        with pytest.raises(OptionError, match=match):
            convert("folders", {**pairs, "splits": ["train"], **values})

    refused("--num_classes=4 contradicts --mask_values=0:a,1:b", mask_values=["0:a", "1:b"])
    refused("both name classes", mask_values=["0:a"], class_table="x.txt")
    values = {"mask_values": ["0:a"], "num_classes": None, "reduce_zero_label": True}
    refused("--reduce_zero_label contradicts", **values)


# Binary masks.


def write_masks(folder, dtype):
    """Replaces masks by ones of 0 and the type's largest value; returns name -> where it is."""
    expected = {}
    for path in (folder / "Masks").iterdir():
        size = Image.open(path).size[::-1]
        expected[path.stem] = np.add.outer(*map(np.arange, size)) % 3 == 0
        values = (expected[path.stem] * np.iinfo(dtype).max).astype(dtype)
        Image.fromarray(values).save(path)
    return expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_not_0_is_the_object_of_a_binary_task(pairs, tmp_path, dtype):
    expected = write_masks(tmp_path, dtype)
    convert("folders", pairs, val_fraction=0.3, task="binary", num_classes=None)
    info = dataset_json(pairs["output_dir"])
    assert (info["task"], info["class_names"]) == ("binary", ["background", "object"])
    for name, label in labels_by_name(pairs["output_dir"], "train").items():
        np.testing.assert_array_equal(label, expected[name])


def test_the_values_of_a_binary_task_can_be_named(pairs, tmp_path):
    expected = write_masks(tmp_path, np.uint16)
    options = {**pairs, "num_classes": None, "splits": ["all"], "task": "binary"}
    convert("folders", options, mask_values=["0:rock", "65535:salt"])
    assert dataset_json(pairs["output_dir"])["class_names"] == ["rock", "salt"]
    for name, label in labels_by_name(pairs["output_dir"], "all").items():
        np.testing.assert_array_equal(label, expected[name])
    with pytest.raises(UserError, match="holds 0, but there are 2 classes"):
        convert("folders", options, mask_values=["7:rock", "65535:salt"])


def test_a_stated_ignore_label_is_not_the_object_of_a_binary_task(pairs, tmp_path):
    expected = write_masks(tmp_path, np.uint8)
    convert("folders", pairs, splits=["all"], task="binary", num_classes=2, ignore_label=255)
    for name, label in labels_by_name(pairs["output_dir"], "all").items():
        np.testing.assert_array_equal(label == 255, expected[name])


def test_a_binary_task_has_two_classes(pairs):
    with pytest.raises(OptionError, match="--task=binary: a binary task has 2 classes, not 4"):
        convert("folders", pairs, splits=["all"], task="binary")


def test_a_task_that_a_format_cannot_serve_is_refused(pairs):
    with pytest.raises(OptionError, match="--task=multilabel: .* multiclass or binary only"):
        convert("folders", pairs, splits=["all"], task="multilabel")


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


MASK = np.array([[0, 1, 2], [1, 1, 0]], np.uint8)
PHOTO = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def converted(tmp_path, **values):
    options = folders(tmp_path, "images", "masks", tmp_path / "out", num_classes=3)
    convert("folders", options, splits=["train"], **values)
    return read_records(str(tmp_path / "out"), "train")


@pytest.mark.parametrize("name", ["a.Jpg", "a.BMP", "a.tif", "a.webp"])
def test_images_are_taken_by_any_spelling_and_other_formats_become_png(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    save(tmp_path / "images" / name, PHOTO, **options)
    save(tmp_path / "masks" / "a.PNG", MASK)
    (record,) = converted(tmp_path)
    if name != "a.Jpg":
        assert record.image_format == "png"
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(record.image))), PHOTO)


def test_a_file_of_several_pictures_is_refused(tmp_path):
    pages = [Image.fromarray(PHOTO)]
    (tmp_path / "images").mkdir()
    pages[0].save(tmp_path / "images" / "a.tif", save_all=True, append_images=pages)
    save(tmp_path / "masks" / "a.png", MASK)
    with pytest.raises(UserError, match="a.tif holds 2 pictures"):
        converted(tmp_path)


def test_hidden_files_and_folders_are_not_data(tmp_path):
    for name in ("a", ".ipynb_checkpoints/a-checkpoint", "._a"):
        save(tmp_path / "images" / f"{name}.png", PHOTO)
        save(tmp_path / "masks" / f"{name}.png", MASK)
    assert [record.name for record in converted(tmp_path)] == ["a"]


def test_a_mask_lies_where_its_image_does(tmp_path):
    for day in ("day1", "day2"):
        save(tmp_path / "images" / day / f"{day}.png", PHOTO)
    save(tmp_path / "masks" / "day1" / "day1.png", MASK)
    save(tmp_path / "masks" / "day2.png", MASK)
    with pytest.raises(UserError, match="day2.png has its name, but lies in another folder"):
        converted(tmp_path, val_fraction=0.5)


def test_masks_of_another_suffix_are_proposed_and_taken(tmp_path):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a_mask.png", MASK)
    with pytest.raises(UserError, match="a_mask.png is its mask, pass --mask_suffix=_mask"):
        converted(tmp_path)
    converted(tmp_path, mask_suffix="_mask")
    np.testing.assert_array_equal(labels_by_name(tmp_path / "out", "train")["a"], MASK)


def test_masks_whose_values_compression_changed_are_named(tmp_path):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.jpg", MASK)
    with pytest.raises(UserError, match="a.jpg is not a PNG file"):
        converted(tmp_path)


@pytest.mark.parametrize(
    ("table", "expected", "ignore_label"),
    [
        # The ids begin at 1, and 0 marks pixels without a class.
        ({"ignore_label": 0, "classes": [("road", 1), ("car", 2)]}, [255, 0, 1], 255),
        # The ignored value lies between those of the classes.
        ({"ignore_label": 1, "classes": [("road", 0), ("car", 2)]}, [0, 255, 1], 255),
        # The ignored value is that of a class, which then never counts.
        ({"ignore_label": 0, "classes": [("road", 1), ("car", 2), ("void", 0)]}, [2, 0, 1], 2),
    ],
)
def test_an_ignored_value_is_not_the_label_of_a_class(tmp_path, table, expected, ignore_label):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.png", MASK)
    classes = [{"name": name, "id": value} for name, value in table["classes"]]
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**table, "classes": classes}))
    converted(tmp_path, class_table=str(path), num_classes=None)
    assert dataset_json(str(tmp_path / "out"))["ignore_label"] == ignore_label
    label = labels_by_name(tmp_path / "out", "train")["a"]
    np.testing.assert_array_equal(label, np.array(expected)[MASK])


def test_an_ignore_label_that_mask_values_name_is_refused(tmp_path):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.png", MASK)
    with pytest.raises(OptionError, match="where 2 is car; write 2:ignore"):
        converted(
            tmp_path, mask_values=["0:sky", "1:road", "2:car"], num_classes=None, ignore_label=2
        )


def test_a_name_that_is_not_utf_8_is_kept_by_its_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    save(tmp_path / "images" / f"{name}.png", PHOTO)
    save(tmp_path / "masks" / f"{name}.png", MASK)
    converted(tmp_path)
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").glob("*.tfrecord"))
    assert b"caf\xe9" in content


def test_images_above_the_limit_of_decoders_are_refused_by_their_size(tmp_path, monkeypatch):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.png", MASK)
    monkeypatch.setattr(pillow, "MOST_PIXELS", 5)
    with pytest.raises(UserError, match="is 2x3 .* more than the 5 pixels .* cut it into tiles"):
        converted(tmp_path)


def test_equal_channels_are_values_unless_classes_have_colours(tmp_path):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.png", np.stack([MASK] * 3, axis=-1))
    converted(tmp_path)
    np.testing.assert_array_equal(labels_by_name(tmp_path / "out", "train")["a"], MASK)


def test_a_value_that_is_one_too_high_has_three_explanations(tmp_path):
    save(tmp_path / "images" / "a.png", PHOTO)
    save(tmp_path / "masks" / "a.png", MASK)
    expected = "--ignore_label=2; .*--num_classes=3; .*--reduce_zero_label"
    with pytest.raises(UserError, match=expected):
        converted(tmp_path, num_classes=2)

import numpy as np
import pytest
from PIL import Image

from datasets.dataset import Dataset
from tests.converting import convert, dataset_json, read_records
from tests.small_data import data_config, pixels, save_image, save_mask
from utils.errors import OptionError, UserError
from utils.imaging import label_bits

SIZE = (12, 17)
CLASSES = ("crack", "rust", "wet")


def member(name, label):
    """Returns which pixels of an image have a class, bool [h, w]."""
    return np.random.RandomState([int(name), label]).rand(*SIZE) < 0.4


@pytest.fixture
def options(tmp_path):
    """Images 0 to 5 with masks of three kinds; class wet has masks of the first three only."""
    for name in "012345":
        save_image(tmp_path / "images" / f"{name}.png", pixels(int(name), *SIZE))
        for label, class_name in enumerate(CLASSES[: 3 if name < "3" else 2]):
            values = member(name, label) * np.array([1, 255, 65535])[label]
            values = values.astype(np.uint16 if label == 2 else np.uint8)
            save_mask(tmp_path / "masks" / class_name / f"{name}.png", values)
    return {
        "image_folder": str(tmp_path / "images"),
        "mask_folders": [str(tmp_path / "masks")],
        "output_dir": str(tmp_path / "out"),
        "splits": ["all"],
    }


def labels(folder, split="all"):
    """Returns name -> label, uint8 [h, w, classes]."""
    return {
        record.name: label_bits.unpack(label_bits.decode(record.label, 3), 3)
        for record in read_records(folder, split)
    }


def test_a_pixel_has_the_classes_whose_masks_are_not_0(options, tmp_path):
    convert("binary_masks", options)
    info = dataset_json(tmp_path / "out")
    assert (info["task"], info["class_names"]) == ("multilabel", list(CLASSES))
    assert [0, 0, 0] not in info["colors"]
    found = labels(tmp_path / "out")
    assert sorted(found) == list("012345")
    for name, label in found.items():
        for place in range(3):
            expected = member(name, place) if place < 2 or name < "3" else np.zeros(SIZE)
            np.testing.assert_array_equal(label[..., place], expected)


def test_folders_can_be_named_one_by_one_and_drawn_into_splits(options, tmp_path):
    folders = [str(tmp_path / "masks" / name) for name in ("rust", "wet", "crack")]
    del options["splits"]
    convert("binary_masks", options, mask_folders=folders, val_fraction=0.5)
    assert dataset_json(tmp_path / "out")["class_names"] == ["rust", "wet", "crack"]
    assert len(labels(tmp_path / "out", "val")) == 3
    with pytest.raises(UserError, match="another conversion"):
        convert("binary_masks", options, mask_folders=folders[:1], val_fraction=0.5)


def test_a_class_table_gives_order_and_colours(options, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("id,name,red,green,blue\n0,wet,0,0,9\n1,crack,9,0,0\n2,rust,0,9,0\n")
    convert("binary_masks", options, class_table=str(table))
    info = dataset_json(tmp_path / "out")
    assert (info["class_names"], info["colors"][1]) == (["wet", "crack", "rust"], [9, 0, 0])
    np.testing.assert_array_equal(labels(tmp_path / "out")["1"][..., 1], member("1", 0))
    table.write_text("id,name\n0,wet\n1,crack\n")
    with pytest.raises(UserError, match="crack, rust, wet, but --class_table=.* names wet, crack"):
        convert("binary_masks", options, class_table=str(table))


def test_colours_that_are_not_black_have_the_class(options, tmp_path):
    colors = np.zeros([*SIZE, 4], np.uint8)
    colors[..., 3] = 255
    colors[2, 3, 1] = 9
    Image.fromarray(colors).save(tmp_path / "masks" / "crack" / "0.png")
    convert("binary_masks", options)
    assert np.argwhere(labels(tmp_path / "out")["0"][..., 0]).tolist() == [[2, 3]]


def test_what_does_not_fit_is_named(options, tmp_path):
    with pytest.raises(OptionError, match="pass --list_folder, --val_fraction, or --splits=NAME"):
        convert("binary_masks", {**options, "splits": None})
    with pytest.raises(OptionError, match="pass --mask_folders"):
        convert("binary_masks", {**options, "mask_folders": None})
    with pytest.raises(UserError, match="--mask_folders=nowhere is not a folder"):
        convert("binary_masks", {**options, "mask_folders": ["nowhere"]})
    save_mask(tmp_path / "masks" / "rust" / "2.png", np.zeros([5, 6], np.uint8))
    with pytest.raises(UserError, match=r"rust/2.png is 5x6 .*, but .*crack/2.png is 12x17"):
        convert("binary_masks", options)
    for name in CLASSES:
        (tmp_path / "masks" / name / "2.png").unlink()
    with pytest.raises(UserError, match="1 of 6 images of split all have no mask"):
        convert("binary_masks", options)


def test_more_classes_than_fit_are_refused(options, tmp_path):
    for number in range(61):
        (tmp_path / "masks" / f"more_{number}").mkdir()
    with pytest.raises(UserError, match="64 classes are too many"):
        convert("binary_masks", options)


def test_the_data_set_knows_the_task(options):
    convert("binary_masks", options)
    assert Dataset.open(data_config(options["output_dir"])).classes.task == "multilabel"

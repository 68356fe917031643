"""The files of a prediction: what programs and people find in them."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from core.inference.writers import PredictionFiles, VisFiles
from options.prediction import KINDS
from tests.small_data import pixels
from utils import colormap
from utils.classes import ClassSet
from utils.errors import OptionError, UserError
from utils.imaging import run_lengths

CLASSES = ClassSet(["sky", "road, wet", "car"], [(0, 0, 0), (10, 20, 30), (255, 0, 9)])
IMAGE = pixels(0, 20, 30)
LABELS = np.random.RandomState(0).randint(0, 3, [20, 30]).astype(np.uint8)


def _write(folder, *names, kinds=KINDS, keep=False, some_classes=CLASSES, **settings):
    with PredictionFiles(str(folder), kinds, some_classes, **settings) as files:
        files.open(keep=keep)
        for name in names:
            probabilities = np.eye(3, dtype=np.float32)[LABELS]
            files.write(name, IMAGE, LABELS, probabilities)
        return files


def _rows(folder):
    with open(str(folder / "rle.csv"), newline="") as file:
        return list(csv.reader(file))


def test_masks_hold_class_numbers_and_the_palette_their_colours(tmp_path):
    _write(tmp_path, "a")
    with Image.open(tmp_path / "a_index.png") as mask:
        assert mask.mode == "L"
        np.testing.assert_array_equal(mask, LABELS)
    with Image.open(tmp_path / "a_palette.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(mask, LABELS)
        colors = np.asarray(mask.convert("RGB"))
    np.testing.assert_array_equal(colors, np.array(CLASSES.colors)[LABELS])


def test_the_palette_of_voc_is_complete(tmp_path):
    _write(tmp_path, "a", some_classes=ClassSet("abc"), kinds=["palette"])
    with Image.open(tmp_path / "a_palette.png") as mask:
        palette = np.array(mask.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(palette, colormap.pascal(256))


def test_label_ids_take_the_place_of_class_numbers_in_masks_only(tmp_path):
    _write(tmp_path, "a", some_classes=CLASSES.with_mask_values([7, 8, 33]))
    ids = np.array([7, 8, 33])[LABELS]
    for kind in ("index", "palette"):
        with Image.open(tmp_path / f"a_{kind}.png") as mask:
            np.testing.assert_array_equal(mask, ids)
    with Image.open(tmp_path / "a_palette.png") as mask:
        colors = np.asarray(mask.convert("RGB"))
    np.testing.assert_array_equal(colors, np.array(CLASSES.colors)[LABELS])
    table = json.loads((tmp_path / "classes.json").read_text())["classes"]
    assert table[2] == {"id": 2, "name": "car", "color": [255, 0, 9], "mask_value": 33}
    with pytest.raises(OptionError, match="2 label ids for 3 classes"):
        CLASSES.with_mask_values([1, 2])


def test_probabilities_come_back(tmp_path):
    _write(tmp_path, "a", kinds=["prob"])
    read = np.load(str(tmp_path / "a_prob.npz"))["probabilities"]
    np.testing.assert_array_equal(read, np.eye(3)[LABELS])
    assert list(np.load(str(tmp_path / "a_prob.npz"))["class_names"]) == list(CLASSES.names)


def test_run_lengths_decode_to_the_mask(tmp_path):
    _write(tmp_path, os.path.join("day", "a"), "b", kinds=["rle"])
    header, *rows = _rows(tmp_path)
    assert header == ["id", "height", "width", *CLASSES.names]
    assert [row[0] for row in rows] == ["day/a", "b"]
    height, width = int(rows[0][1]), int(rows[0][2])
    for label in range(3):
        mask = run_lengths.decode(rows[0][3 + label], height, width)
        np.testing.assert_array_equal(mask, label == LABELS)


def test_names_may_have_folders_and_plain_ones_no_suffix(tmp_path):
    _write(tmp_path, os.path.join("day", "a"), kinds=["palette", "overlay"], plain_names=True)
    assert sorted(os.listdir(str(tmp_path / "day"))) == ["a.png", "a_overlay.png"]


def test_a_legend_is_drawn_for_any_names(tmp_path):
    names = ["naïve", "道路", *(f"class {number}" for number in range(70))]
    _write(tmp_path, some_classes=ClassSet(names))
    with Image.open(tmp_path / "legend.png") as legend:
        assert legend.width > 3 * 60
        assert tuple(colormap.pascal(9)[8]) in {
            color for _, color in legend.convert("RGB").getcolors(1 << 16)
        }


def test_rows_of_an_earlier_run_stay_where_they_are_wanted(tmp_path):
    _write(tmp_path, "a", "b", kinds=["rle"])
    path = tmp_path / "rle.csv"
    path.write_text(path.read_text() + "c,20")
    files = _write(tmp_path, "c", kinds=["rle"], keep=True)
    assert [row[0] for row in _rows(tmp_path)[1:]] == ["a", "b", "c"]
    assert files.is_complete("a")
    assert not files.is_complete("c")
    _write(tmp_path, "a", kinds=["rle", "index"], keep=True)
    assert [row[0] for row in _rows(tmp_path)[1:]] == ["a", "b", "c"]
    _write(tmp_path, "d", kinds=["rle"])
    assert [row[0] for row in _rows(tmp_path)[1:]] == ["d"]
    with pytest.raises(UserError, match=r"rle.csv .*\(id, height, width, sky"):
        _write(tmp_path, kinds=["rle"], keep=True, some_classes=ClassSet("ab"))


def test_what_would_be_replaced_is_known(tmp_path):
    files = _write(tmp_path, "a", kinds=["index", "rle"])
    found = [os.path.basename(path) for path in files.existing(["a", "b"])]
    assert found == ["a_index.png", "rle.csv"]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to --output_dir="):
        _write(tmp_path / "file" / "results")


def test_a_full_disk_is_a_sentence_and_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def full(*unused):
        raise OSError(28, "No space left on device")

    files = PredictionFiles(str(tmp_path), ["index"], CLASSES)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"a_index.png: No space left on device"):
        files.write("a", IMAGE, LABELS)
    assert os.listdir(str(tmp_path)) == []


LABEL_SETS = np.stack([LABELS > 0, LABELS == 1, np.ones_like(LABELS)], axis=2).astype(np.uint8)
LABEL_CLASSES = ClassSet(
    ["sky", "road/wet", "overlay"], [(0, 0, 0), (10, 20, 30), (255, 0, 9)], task="multilabel"
)


def test_where_a_pixel_may_have_several_classes_each_has_a_mask(tmp_path):
    kinds = ["palette", "index", "overlay", "rle"]
    with PredictionFiles(str(tmp_path), kinds, LABEL_CLASSES) as files:
        files.open(keep=False)
        files.write("a", IMAGE, LABEL_SETS)
    stems = ["sky", "road_wet", "overlay_2"]
    others = ["a_overlay.png", "classes.json", "legend.png", "rle.csv"]
    names = [f"a_{stem}.png" for stem in stems]
    assert sorted(os.listdir(str(tmp_path))) == sorted([*names, *others])
    for label, stem in enumerate(stems):
        with Image.open(tmp_path / f"a_{stem}.png") as mask:
            np.testing.assert_array_equal(mask, LABEL_SETS[..., label])
            assert tuple(mask.getpalette()[3:6]) == LABEL_CLASSES.colors[label]
    (header, row) = _rows(tmp_path)
    assert header[3:] == list(LABEL_CLASSES.names)
    for label in range(3):
        mask = run_lengths.decode(row[3 + label], 20, 30)
        np.testing.assert_array_equal(mask, LABEL_SETS[..., label])


def test_probabilities_of_a_binary_task_are_those_of_the_object(tmp_path):
    classes = ClassSet(["rock", "salt"], task="binary")
    labels, probabilities = (LABELS > 0).astype(np.uint8), np.full([20, 30, 1], 0.25, np.float32)
    with PredictionFiles(str(tmp_path), ["prob", "index", "rle"], classes) as files:
        files.open(keep=False)
        files.write("a", IMAGE, labels, probabilities)
    with np.load(str(tmp_path / "a_prob.npz")) as archive:
        assert list(archive["class_names"]) == ["salt"]
        assert archive["probabilities"].shape == (20, 30, 1)
    with Image.open(tmp_path / "a_index.png") as mask:
        np.testing.assert_array_equal(mask, labels)
    assert _rows(tmp_path)[0][3:] == ["rock", "salt"]


@pytest.mark.parametrize(
    ("classes", "settings", "flag"),
    [
        (LABEL_CLASSES, {"plain_names": True}, "--plain_names"),
        (LABEL_CLASSES.with_mask_values([1, 2, 3]), {}, "--label_ids"),
    ],
)
def test_one_mask_of_several_classes_is_refused(tmp_path, classes, settings, flag):
    with pytest.raises(OptionError, match=flag):
        PredictionFiles(str(tmp_path), ["index"], classes, **settings)


def test_pictures_of_several_classes_have_their_mean_colour(tmp_path):
    files = VisFiles(str(tmp_path), LABEL_CLASSES, raw=True)
    files.write(3, "day/a.jpg", IMAGE, LABEL_SETS)
    with Image.open(tmp_path / "segmentation_results" / "000003_prediction.png") as picture:
        colors = np.asarray(picture)
    assert set(map(tuple, colors[LABELS == 0])) == {(255, 0, 9)}
    assert set(map(tuple, colors[LABELS == 2])) == {(128, 0, 4)}
    raw = os.listdir(str(tmp_path / "raw_segmentation_results"))
    assert sorted(raw) == ["a_overlay_2.png", "a_road_wet.png", "a_sky.png"]

import contextlib
import copy
import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from datasets.files.defects import BadFileError
from datasets.formats import coco as coco_format
from datasets.formats import coco_file, coco_masks
from tests import converting, small_trees
from tests.converting import convert, dataset_json, labels_by_name, read_records
from tests.resources import data_folder
from tests.small_data import pixels, save_image
from tests.small_trees import COCO_SIZE as SIZE
from tests.small_trees import annotation
from utils.errors import OptionError, UserError
from utils.imaging import label_bits


@pytest.fixture
def coco(tmp_path):
    small_trees.make_coco(tmp_path / "train", tmp_path / "instances_train.json")
    return {
        "annotations": [str(tmp_path / "instances_train.json")],
        "image_folder": str(tmp_path),
        "output_dir": str(tmp_path / "out"),
    }


def write(folder, content):
    (folder / "instances_train.json").write_text(json.dumps(content))


def change(folder, function):
    path = folder / "instances_train.json"
    content = json.loads(path.read_text())
    function(content)
    write(folder, content)


def test_the_smaller_object_is_on_top_and_a_crowd_never_counts(coco, tmp_path):
    convert("coco", coco)
    info = dataset_json(tmp_path / "out")
    assert info["class_names"] == ["background", "person", "car", "kitten"]
    label = labels_by_name(tmp_path / "out", "train")["a"]
    assert (label[5:9, 5:9] == 1).all()
    assert (label == 1).sum() == 16
    assert (label == 2).sum() == 100 - 16
    assert (label[:, 0] == 255).all()
    assert (label == 255).sum() == 20


def test_overlapping_pixels_can_be_ignored(coco, tmp_path):
    convert("coco", coco, overlap="ignore")
    label = labels_by_name(tmp_path / "out", "train")["a"]
    assert (label[5:9, 5:9] == 255).all()
    assert (label == 2).sum() == 84


def sets(folder, count, split="train"):
    """Returns name -> label of several classes per pixel, uint8 [h, w, classes]."""
    return {
        record.name: label_bits.unpack(label_bits.decode(record.label, count), count)
        for record in read_records(folder, split)
    }


def test_objects_may_overlap_where_a_pixel_has_several_classes(coco, tmp_path):
    convert("coco", coco, task="multilabel")
    info = dataset_json(tmp_path / "out")
    assert (info["task"], info["ignore_label"]) == ("multilabel", 255)
    assert info["class_names"] == ["person", "car", "kitten"]
    label = sets(tmp_path / "out", 3)["a"]
    person, car = label[..., 0] == 1, label[..., 1] == 1
    assert person[5:9, 5:9].all()
    assert (person.sum(), car.sum(), (person & car).sum()) == (16, 100, 16)
    assert (label[:, 0] == 255).all()
    assert (label == 255).sum() == 20 * 3
    assert not sets(tmp_path / "out", 3)["b"].any()


def test_voc_s_classes_may_overlap_without_background(coco, tmp_path):
    convert("coco", coco, task="multilabel", coco_classes="voc")
    info = dataset_json(tmp_path / "out")
    assert (info["num_classes"], info["class_names"][0]) == (20, "aeroplane")
    label = sets(tmp_path / "out", 20)["a"]
    assert np.unique(np.nonzero(label == 1)[2]).tolist() == [6, 14]


def test_flags_without_effect_on_sets_are_refused(coco):
    with pytest.raises(OptionError, match="--overlap has no effect with --task=multilabel"):
        convert("coco", coco, task="multilabel", overlap="ignore")


def test_voc_s_classes_are_found_by_name(coco, tmp_path):
    convert("coco", coco, coco_classes="voc", splits=["coco2017_train"])
    info = dataset_json(tmp_path / "out")
    assert info["num_classes"] == 21
    label = labels_by_name(tmp_path / "out", "coco2017_train")["a"]
    assert sorted(set(label.ravel())) == [0, 7, 15, 255]


def test_images_without_objects_are_background_or_left_out(coco, tmp_path):
    convert("coco", coco)
    assert not labels_by_name(tmp_path / "out", "train")["b"].any()
    convert("coco", coco, output_dir=str(tmp_path / "out2"), skip_empty=True)
    assert list(labels_by_name(tmp_path / "out2", "train")) == ["a"]


def test_compressed_run_lengths_are_drawn(coco, tmp_path):
    from pycocotools import mask

    pixels_of = np.zeros(SIZE, np.uint8, order="F")
    pixels_of[3:7, 11:14] = 1
    encoded = mask.encode(pixels_of)
    outline = {"size": list(SIZE), "counts": encoded["counts"].decode()}
    change(tmp_path, lambda c: c.update(annotations=[annotation(1, 17, outline)]))
    convert("coco", coco)
    label = labels_by_name(tmp_path / "out", "train")["a"]
    np.testing.assert_array_equal(label, pixels_of * 3)


def test_panoptic_files_are_translated(coco, tmp_path):
    ids = np.zeros(SIZE, np.int64)
    ids[:10], ids[10:15], ids[15:, :20] = 70000, 300, 5
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(colors).save(tmp_path / "masks" / name)
    segments = [
        {"id": 70000, "category_id": 3, "iscrowd": 0},
        {"id": 300, "category_id": 17, "iscrowd": 0},
        {"id": 5, "category_id": 1, "iscrowd": 1},
    ]
    both = [
        {"image_id": number, "file_name": f"{name}.png", "segments_info": segments}
        for number, name in ((7, "a"), (9, "b"))
    ]
    change(tmp_path, lambda c: c.update(annotations=both))
    convert("coco", coco, semantic_segmentation_folder=str(tmp_path / "masks"))
    assert dataset_json(tmp_path / "out")["class_names"] == ["person", "car", "kitten"]
    label = labels_by_name(tmp_path / "out", "train")["a"]
    assert (label[:10] == 1).all()
    assert (label[10:15] == 2).all()
    assert (label[15:] == 255).all()
    del segments[0]
    change(tmp_path, lambda c: c.update(annotations=both))
    with pytest.raises(UserError, match="a.png holds the segment 70000"):
        convert("coco", coco, semantic_segmentation_folder=str(tmp_path / "masks"))


def test_archives_serve_as_they_were_downloaded(coco, tmp_path):
    with zipfile.ZipFile(str(tmp_path / "train.zip"), "w") as archive:
        for path in (tmp_path / "train").iterdir():
            archive.write(str(path), f"train/{path.name}")
    with zipfile.ZipFile(str(tmp_path / "annotations.zip"), "w") as archive:
        archive.write(coco["annotations"][0], "annotations/instances_train.json")
    shutil.rmtree(str(tmp_path / "train"))
    inside = str(tmp_path / "annotations.zip" / "annotations" / "instances_train.json")
    convert("coco", coco, annotations=[inside])
    assert len(read_records(tmp_path / "out", "train")) == 2


def refused(coco, match, error=UserError, **changes):
    with pytest.raises(error, match=match):
        convert("coco", coco, **changes)


def test_files_of_another_form_are_named(coco, tmp_path):
    change(tmp_path, lambda c: c.pop("annotations"))
    refused(coco, "is not a COCO annotation file: it has no list of annotations")
    for text in ("{", "[" * 100_000, "[]"):
        (tmp_path / "instances_train.json").write_text(text)
        refused(coco, "is not a COCO annotation file")
    refused(coco, "--annotations=nowhere.json cannot be read", annotations=["nowhere.json"])
    refused(coco, "pass --annotations", OptionError, annotations=None)


def object_with(**values):
    return lambda content: content["annotations"][0].update(values)


def image_with(**values):
    return lambda content: content["images"][0].update(values)


@pytest.mark.parametrize(
    ("change_it", "match"),
    [
        (object_with(category_id=5), "annotation 1 has category_id 5, which is not among"),
        (object_with(category_id=[1]), "annotation 1 has the category_id .1., which is neither"),
        (object_with(image_id=8), "annotation 1 has image_id 8, which is not among"),
        (object_with(image_id=None), "annotation 1 has no image_id"),
        (object_with(iscrowd="no"), "annotation 1 has iscrowd 'no', not 0 or 1"),
        (object_with(segmentation=[[1.0, float("nan")] * 3]), "a point with y = nan"),
        (object_with(segmentation=[[1e9, 2] * 3]), "a point with x = 1000000000.0, but .* 20x30"),
        (object_with(segmentation=[[1, None] * 3]), "a point with y = None"),
        (object_with(segmentation=[[1, "2"] * 3]), "a point with y = 2"),
        (object_with(segmentation=[[10**400, 2] * 3]), "a point with x = 1000"),
        (object_with(segmentation=[[1, 2, 3, 4, 5]]), "not pairs of numbers"),
        (object_with(segmentation="here"), "has the segmentation 'here'"),
        (object_with(segmentation={"counts": [10**11]}), "run lengths with the sum 100000000000"),
        (object_with(segmentation={"counts": [-1, 601]}), "run lengths that are not counts"),
        (object_with(segmentation={"counts": [600], "size": [30, 20]}), "for the size .30, 20."),
        (object_with(segmentation={"counts": "garbage"}), "run lengths .*garbage"),
        (object_with(segmentation={"counts": "m"}), "ends within a number"),
        (object_with(segmentation={}), "annotation 1"),
        (image_with(id=9), "image 9 has the id of another one"),
        (image_with(file_name=None), "image 7 has no file_name"),
        (
            image_with(file_name=["a.jpg"]),
            "image 7 has the file_name .*which is not a readable name",
        ),
        (image_with(height=-3), "image 7 has the height -3, not a number of pixels"),
        (image_with(width="30"), "image 7 has the width 30, not a number of pixels"),
        (lambda c: c["images"][0].pop("id"), "image at place 0 of the list has no id"),
        (lambda c: c["annotations"].insert(0, "text"), "annotation at place 0 .* is 'text', not"),
        (lambda c: c.update(images={"7": {}}), "it has no list of images"),
        (
            lambda c: c["categories"][0].update(name=3),
            "has the name '3', which is not",
        ),
    ],
)
def test_a_bad_entry_is_named_and_may_be_left_out(coco, tmp_path, change_it, match):
    change(tmp_path, change_it)
    refused(coco, match)


def test_bad_entries_are_all_named_or_all_left_out(coco, tmp_path):
    change(tmp_path, lambda c: [c["annotations"][number].update(image_id=8) for number in (0, 2)])
    refused(coco, r"(?s)2 entries cannot be used.*annotation 1 .*annotation 3 .*--on_bad_item=skip")
    convert("coco", coco, on_bad_item="skip")
    assert set(np.unique(labels_by_name(tmp_path / "out", "train")["a"])) == {0, 2}


@pytest.mark.parametrize(
    "outline", [[], None, [[1, 2]], [[1, 2, 3, 4]], [[], [1, 1]]], ids=lambda value: str(value)
)
def test_an_object_without_area_is_left_out(coco, tmp_path, outline):
    change(tmp_path, object_with(segmentation=outline))
    convert("coco", coco)
    assert (labels_by_name(tmp_path / "out", "train")["a"] == 1).sum() == 0


def test_other_spellings_are_read(coco, tmp_path):
    convert("coco", coco)
    expected = labels_by_name(tmp_path / "out", "train")["a"]
    # A flat polygon, numbers as text, sizes that only the images know.
    flat = small_trees.square(5, 5, 4)[0]
    change(tmp_path, object_with(segmentation=flat, image_id="7", category_id="1"))
    change(tmp_path, image_with(height=None, width=None))
    convert("coco", coco, output_dir=str(tmp_path / "again"))
    np.testing.assert_array_equal(labels_by_name(tmp_path / "again", "train")["a"], expected)


def test_damaged_images_are_left_out(coco, tmp_path):
    (tmp_path / "train" / "a.jpg").write_bytes(b"no image")
    refused(coco, "a.jpg is not a readable image")
    convert("coco", coco, on_bad_item="skip")
    assert [record.name for record in read_records(tmp_path / "out", "train")] == ["b"]
    assert dataset_json(tmp_path / "out")["splits"]["train"]["num_images"] == 1
    (tmp_path / "train" / "b.jpg").write_bytes(b"no image")
    refused(coco, "2 files cannot be used", on_bad_item="skip")


VALUES = [None, True, -1, 0, 7, 1e9, float("nan"), 10**400, "7", "", "\0", [], [1.5, 2], {}, [[]]]


@pytest.mark.parametrize("seed", range(4))
def test_any_content_is_read_or_answered_in_a_sentence(coco, tmp_path, seed):
    random = np.random.RandomState(seed)
    for number in range(60):
        content = copy.deepcopy(small_trees.coco_annotations())
        for _ in range(random.randint(1, 4)):
            entries = content[random.choice(["images", "annotations", "categories"])]
            entry = entries[random.randint(len(entries))]
            value = VALUES[random.randint(len(VALUES))]
            entry[random.choice([*entry, "segments_info", "size"])] = value
        write(tmp_path, content)
        policy = ("fail", "skip")[number % 2]
        config = converting.config_of({**coco, "on_bad_item": policy})
        with contextlib.suppress(UserError):
            for samples in coco_format.find(config).splits.values():
                for sample in samples:
                    with contextlib.suppress(BadFileError):
                        sample.mask.draw()


def test_missing_and_resized_images_are_named(coco, tmp_path):
    (tmp_path / "train" / "b.jpg").unlink()
    refused(coco, "1 of 2 images are not in .*; the first is .*b.jpg")
    save_image(tmp_path / "train" / "b.jpg", pixels(1, 10, 15))
    refused(coco, "b.jpg is 10x15 .* but its mask .*b.jpg. is 20x30")
    refused(coco, "a.jpg of .* is not in --image_folder", image_folder=str(tmp_path.parent))


def test_flags_that_do_not_fit_are_refused(coco):
    refused(coco, "--num_classes has no effect on the format coco", OptionError, num_classes=81)
    refused(coco, "--splits=a,b does not give", OptionError, splits=["a", "b"])
    refused(
        coco,
        "semantic_segmentation_folder .*panoptic",
        OptionError,
        semantic_segmentation_folder="x",
    )
    refused(coco, "--cityscapes_root has no effect", OptionError, cityscapes_root="x")


@pytest.fixture(scope="module")
def real():
    return data_folder("coco_tiny_train") / "tiny_coco"


def test_drawn_areas_are_those_of_the_annotations(real):
    path = str(real / "annotations" / "instances_train2017.json")
    stated = json.loads(pathlib.Path(path).read_text())["annotations"]
    areas = {entry["id"]: entry["area"] for entry in stated}
    content = coco_file.read(path, lambda images: str(real / "train2017"), "fail")
    for image in content.images:
        objects = coco_masks.Objects(image, [], {}, 2, "area")
        for entry in content.of_image[image["id"]]:
            # The area is that of the outline, of crowds that of a finer one: not of whole pixels.
            tolerance = {"rel": 0.2} if entry["iscrowd"] else {"rel": 0.05, "abs": 22}
            assert objects._pixels(entry).sum() == pytest.approx(areas[entry["id"]], **tolerance)


def test_coco_s_photos_with_voc_s_classes_have_the_pixels_of_the_golden_confusion(real, tmp_path):
    options = {
        "annotations": [str(real / "annotations" / "instances_train2017.json")],
        "image_folder": str(real),
        "output_dir": str(tmp_path),
        "coco_classes": "voc",
        "overlap": "ignore",
    }
    convert("coco", options)
    metrics = json.loads((data_folder("golden_deeplab_dm05") / "metrics.json").read_text())
    golden = metrics["dm05_os16_513/coco_tiny_train2017"]["confusion_rows_gt"]
    labels = labels_by_name(tmp_path, "train2017").values()
    counts = sum(np.bincount(label.ravel(), minlength=256)[:21] for label in labels)
    assert counts.tolist() == np.sum(golden, axis=1).tolist()
    assert len(read_records(tmp_path, "train2017")) == 50


def test_labelme_s_export_is_converted(tmp_path):
    folder = data_folder("labelme") / "instance_segmentation" / "data_dataset_coco"
    options = {
        "annotations": [str(folder / "annotations.json")],
        "image_folder": str(folder),
        "output_dir": str(tmp_path),
        "splits": ["train"],
    }
    convert("coco", options)
    info = dataset_json(tmp_path)
    assert info["num_classes"] == 21
    assert info["class_names"][:2] == ["background", "aeroplane"]
    assert {15, 5} <= set(np.unique(labels_by_name(tmp_path, "train")["2011_000003"]))

"""The DeepLab family's command: its flags, its files."""

import os

import numpy as np
import pytest
from PIL import Image

import common
from commands import running
from commands.engines import visualize
from core.evaluation import select
from core.inference import segmenter
from datasets import description
from datasets.description import Description
from datasets.known import CITYSCAPES
from datasets.records import shards, tfrecord
from options.data import InputOptions
from options.prediction import VisOptions
from tests.options.flags_of import accepted_flags
from tests.resources import golden_json
from tests.small_data import pixels, save_image
from tests.small_networks import SMALL, save_checkpoint
from utils import colormap, files
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

SIZES = [(40, 60), (49, 65), (90, 70)]
CLASSES = {"tiny": 3, "cityscapes": 19}


def _make_records(folder, name="tiny", record_names=("a", "b.jpg", "c"), broken=()):
    """Writes records without labels; returns their number of classes."""
    number = CLASSES[name]
    names = CITYSCAPES.names if number == 19 else ("x", "y", "z")
    with tf.io.TFRecordWriter(str(folder / shards.shard_name("test", 0, 1))) as writer:
        for index, size in enumerate(SIZES):
            save_image(folder / "image.jpg", pixels(index, *size))
            content = (folder / "image.jpg").read_bytes()
            content = content[:-200] if index in broken else content
            record = tfrecord.Record(record_names[index], content, "jpeg", *size)
            writer.write(tfrecord.serialize(record))
    colors = tuple((10 * index, 200, 0) for index in range(number))
    description.save(str(folder), Description(ClassSet(names, colors, name=name), {"test": 3}))
    return number


def _make(folder, **settings):
    """Writes records without labels, a checkpoint and its options; returns their folder."""
    save_checkpoint(folder, _make_records(folder, **settings))
    data = InputOptions(eval_crop_size=(49, 65))
    common.save_options(str(folder), {"model": SMALL, "input": data})
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return _make(tmp_path_factory.mktemp("tiny"))


def _visualize(folder, logdir, **options):
    options = {"vis_split": "test", "checkpoint_dir": str(folder), **options}
    running.call(
        "visualize", vis_logdir=str(logdir), dataset_dir=str(folder), device="cpu", **options
    )


def _pixels(path):
    with Image.open(path) as file:
        return np.asarray(file)


def test_files_have_the_familys_names_and_the_size_of_each_image(tiny, tmp_path):
    _visualize(tiny, tmp_path, also_save_raw_predictions=True)
    pictures, raw = tmp_path / "segmentation_results", tmp_path / "raw_segmentation_results"
    assert sorted(os.listdir(str(pictures))) == [
        f"{number:06d}_{kind}.png" for number in range(3) for kind in ("image", "prediction")
    ]
    assert sorted(os.listdir(str(raw))) == ["a.png", "b.png", "c.png"]
    colors = np.array([(0, 200, 0), (10, 200, 0), (20, 200, 0)])
    for number, name in enumerate("abc"):
        labels = _pixels(raw / f"{name}.png")
        assert labels.shape == SIZES[number]
        assert _pixels(pictures / f"{number:06d}_image.png").shape == (*SIZES[number], 3)
        drawn = _pixels(pictures / f"{number:06d}_prediction.png")
        np.testing.assert_array_equal(drawn, colors[labels])


def test_raw_masks_of_cityscapes_hold_its_label_ids(tmp_path):
    folder = _make(tmp_path, name="cityscapes", record_names=("same", "same", "c"))
    options = {"also_save_raw_predictions": True, "colormap_type": "cityscapes"}
    _visualize(folder, tmp_path / "vis", **options)
    raw = tmp_path / "vis" / "raw_segmentation_results"
    # Nothing is lost where records share a name.
    assert sorted(os.listdir(str(raw))) == ["c.png", "same.png", "same_000001.png"]
    ids = [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    labels = _pixels(raw / "c.png")
    assert set(np.unique(labels)) <= set(ids)
    drawn = _pixels(tmp_path / "vis" / "segmentation_results" / "000002_prediction.png")
    train_ids = np.searchsorted(ids, labels)
    np.testing.assert_array_equal(drawn, colormap.cityscapes()[train_ids])


def test_a_damaged_record_does_not_stop_the_others(tiny, tmp_path):
    _make_records(tmp_path, broken=[1])
    with pytest.raises(UserError, match="1 of 3 images could not be predicted"):
        _visualize(tmp_path, tmp_path / "vis", checkpoint_dir=str(tiny))
    assert len(os.listdir(str(tmp_path / "vis" / "segmentation_results"))) == 4


def test_certain_checkpoints_and_their_averaged_weights_are_drawn(tiny, tmp_path, monkeypatch):
    seen = {}

    def load(source, **settings):
        seen.update(settings, source=source)
        raise UserError("Seen.")

    monkeypatch.setattr(segmenter, "load", load)
    options = {"checkpoint_dir": None, "checkpoint_path": ["a", "b"], "use_ema": True}
    with pytest.raises(UserError, match="Seen"):
        _visualize(tiny, tmp_path, **options)
    assert (seen["source"], seen["use_ema"]) == (["a", "b"], True)


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to --vis_logdir=.*Not a directory"):
        _visualize(tiny, tmp_path / "file" / "vis")


def test_new_checkpoints_are_waited_for_where_several_are_asked_for(monkeypatch):
    seen = {}

    def new_checkpoints(folder, interval):
        seen.update(folder=folder, interval=interval)
        return iter(["a", "b", "c"])

    monkeypatch.setattr(select, "new_checkpoints", new_checkpoints)
    options = VisOptions(checkpoint_dir="run", max_number_of_iterations=2, eval_interval_secs=7)
    assert list(visualize._checkpoints(options)) == [["a"], ["b"]]
    assert seen == {"folder": "run", "interval": 7}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_dir": None}, "pass --checkpoint_dir=RUN .* neither is given"),
        ({"checkpoint": "best"}, "holds no best checkpoint"),
        ({"checkpoint": "7"}, "holds no checkpoint of step 7; there are model.ckpt-1"),
        ({"use_ema": True}, "leave out --use_ema"),
        ({"vis_batch_size": 2}, "--vis_batch_size is 2, but must be one of 1"),
        ({"vis_split": "val"}, "no records of split val"),
    ],
)
def test_what_cannot_work_is_a_sentence(tiny, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        _visualize(tiny, tmp_path, **options)


def test_every_flag_of_the_reference_has_its_type_default_and_values():
    reference = golden_json("flags.json")["entries"]["vis"]
    ours = accepted_flags("visualize")
    # Accepted with a notice: it belongs to training.
    assert sorted(set(reference) - set(ours)) == ["label_weights"]
    for name, flag in reference.items():
        if name == "label_weights":
            continue
        kind = ours[name].flag_type().replace("string enum", "string")
        assert (kind, ours[name].default) == (
            flag["type"].replace("string enum", "string"),
            flag["default"],
        ), name


def test_the_reference_has_no_colour_map_that_is_missing_here():
    values = golden_json("flags.json")["entries"]["vis"]["colormap_type"]["values"]
    for value in values:
        assert VisOptions(colormap_type=value).colormap_type == value
    with pytest.raises(OptionError, match="must be one of pascal"):
        VisOptions(colormap_type="kitti")


def test_a_full_disk_is_a_sentence_and_leaves_whole_images_only(tiny, tmp_path, monkeypatch):
    failed = []

    def open_until_full(path, *arguments):
        if failed or "000001_prediction.png" in str(path):
            failed.append(path)
            raise OSError(28, "No space left on device")
        return open(path, *arguments)

    monkeypatch.setattr(files, "open", open_until_full, raising=False)
    message = "000001_prediction.png: No space left on device"
    with pytest.raises(UserError, match=message):
        _visualize(tiny, tmp_path, also_save_raw_predictions=True)
    written = sorted(path.name for path in tmp_path.rglob("*.*"))
    assert written == ["000000_image.png", "000000_prediction.png", "a.png"]


def test_pictures_among_the_records_are_refused(tiny):
    paths = {"checkpoint_dir": str(tiny), "dataset_dir": str(tiny)}
    for folder in (tiny, tiny / "x" / ".."):
        with pytest.raises(OptionError, match="--vis_logdir=.* is also --dataset_dir"):
            running.call("visualize", vis_logdir=str(folder), device="cpu", **paths)

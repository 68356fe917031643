"""The command that predicts: what a user types, what is written, what is refused."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import common
from commands import running
from core.inference import steps, tta
from core.inference.predictor import Predictor
from datasets import description
from datasets.dataset import Dataset
from datasets.description import Description
from datasets.records import shards, tfrecord
from options.data import InputOptions
from tests.small_data import data_config, pixels, save_image
from tests.small_networks import SMALL, save_checkpoint
from utils import colormap
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CROP = (49, 65)
NAMES = ("sky", "road", "car")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder, 3)
    facts = {"class_names": NAMES, "colors": colormap.pascal(3).tolist(), "num_classes": 3}
    data = InputOptions(eval_crop_size=CROP)
    common.save_options(str(folder), {"model": SMALL, "input": data, "run": facts})
    return str(folder)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A frozen graph whose classes are the channels: quick, where the network does not matter."""
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        scores = tf.nn.softmax(tf.cast(images, tf.float32) / 10, name="SemanticProbabilities")
        tf.argmax(scores, 3, name="SemanticPredictions")
    path = tmp_path_factory.mktemp("frozen") / "network.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return str(path)


@pytest.fixture
def photos(tmp_path):
    """A folder of photos, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    for name, size in (("a.jpg", (40, 60)), ("b.png", (49, 65)), ("more/a.jpg", (90, 70))):
        save_image(folder / name, pixels(len(name), *size))
    return folder


def _predict(inputs, folder, **options):
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return running.call(
        "predict",
        input=[str(path) for path in inputs],
        output_dir=str(folder),
        device="cpu",
        **options,
    )


def _labels(path):
    with Image.open(path) as file:
        return np.asarray(file)


def test_all_is_written_at_the_size_of_each_photo(run, photos, tmp_path):
    results = tmp_path / "results"
    kinds = ("index", "palette", "overlay", "prob", "rle")
    summary = _predict(photos, results, checkpoint_dir=run, save=kinds)
    assert [image["state"] for image in summary["images"]] == ["done"] * 3
    assert json.loads((results / "predictions.json").read_text()) == json.loads(json.dumps(summary))
    assert sorted(os.listdir(str(results / "more"))) == [
        *("a_index.png", "a_overlay.png", "a_palette.png", "a_prob.npz"),
    ]
    for name, size in (("a", (40, 60)), ("b", (49, 65)), ("more/a", (90, 70))):
        labels = _labels(results / f"{name}_index.png")
        assert labels.shape == size
        assert _labels(results / f"{name}_overlay.png").shape == (*size, 3)
        archive = np.load(str(results / f"{name}_prob.npz"))
        assert archive["probabilities"].shape == (*size, 3)
        assert list(archive["class_names"]) == list(NAMES)
    assert (results / "legend.png").exists()
    assert len((results / "rle.csv").read_text().splitlines()) == 4


def test_predictions_equal_those_that_evaluation_measures(run, tmp_path):
    """The same files, as records and as photos, give the same labels in every pixel."""
    photos, records = tmp_path / "photos", tmp_path / "records"
    sizes = {"a.jpg": (40, 60), "b.png": (49, 65), "c.jpg": (30, 31)}
    for name, size in sizes.items():
        save_image(photos / name, pixels(len(name), *size))
    records.mkdir()
    with tf.io.TFRecordWriter(str(records / shards.shard_name("val", 0, 1))) as writer:
        for name, size in sizes.items():
            content = (photos / name).read_bytes()
            record = tfrecord.Record(name[0], content, "jpeg", *size)
            writer.write(tfrecord.serialize(record))
    description.save(str(records), Description(ClassSet(NAMES, name="tiny"), {"val": 3}))
    config = data_config(records, eval_crop_size=CROP)
    expected = {}
    with tf.Graph().as_default(), tf.Session() as session:
        batches = Dataset.open(config).eval_batches(
            split="val", batch_size=1, pad_color=(127.5, 127.5, 127.5)
        )
        batch = tf.data.make_one_shot_iterator(batches).get_next()
        labels = tta.predict(batch["image"], SMALL, 3, crop_size=CROP).labels
        tf.train.Saver(tf.global_variables()).restore(session, os.path.join(run, "model.ckpt-1"))
        for _ in sizes:
            one, height, width, name = session.run(
                [labels, batch["height"], batch["width"], batch["name"]]
            )
            expected[name[0].decode()] = one[0, : height[0], : width[0]]
    _predict(photos, tmp_path / "results", checkpoint_dir=run, save=["index"])
    for name, labels in expected.items():
        written = _labels(tmp_path / "results" / f"{name}_index.png")
        np.testing.assert_array_equal(written, labels)


def test_scales_flip_and_several_checkpoints_are_used(run, photos, tmp_path, monkeypatch):
    settings = {}
    make = Predictor.__init__
    monkeypatch.setattr(
        Predictor,
        "__init__",
        lambda self, members, **given: (
            settings.update(given, members=members)
            or make(self, members[:1], **dict(given, scales=(1.0,), flip=False))
        ),
    )
    prefix = os.path.join(run, "model.ckpt-1")
    summary = _predict(
        photos / "a.jpg",
        tmp_path / "results",
        checkpoint_path=(prefix, prefix),
        eval_scales=(0.5, 1.0),
        add_flipped_images=True,
    )
    assert summary["model"]["checkpoints"] == [prefix, prefix]
    assert len(settings["members"]) == 2
    assert (settings["scales"], settings["flip"]) == ((0.5, 1.0), True)
    assert summary["model"]["eval_scales"] == [0.5, 1.0]
    assert summary["model"]["add_flipped_images"] is True


def test_steps_after_the_threshold_change_the_masks(frozen, photos, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def swap(labels, names):\n    return (labels + 1) % len(names)\n")
    inputs = {"model": frozen, "num_classes": 3, "save": ["index"]}
    _predict(photos / "a.jpg", tmp_path / "plain", **inputs)
    texts = (f"largest_object@1,{mine}:swap",)
    summary = _predict(photos / "a.jpg", tmp_path / "results", postprocess=texts, **inputs)
    plain, labels = (_labels(tmp_path / name / "a_index.png") for name in ("plain", "results"))
    classes = ClassSet(("class_0", "class_1", "class_2"))
    np.testing.assert_array_equal(labels, steps.create(texts, classes)(plain))
    assert summary["model"]["postprocess"] == ["largest_object@1", f"{mine}:swap"]
    with pytest.raises(OptionError, match="--postprocess=opening"):
        _predict(photos / "a.jpg", tmp_path / "none", postprocess=["opening"], **inputs)


def test_averages_of_the_weights_are_used_on_request(run, photos, tmp_path):
    save_checkpoint(tmp_path, 3, factor=-1.0, averages=True)
    shutil.copy(os.path.join(run, common.OPTIONS_FILE), str(tmp_path))
    options = {"use_ema": True, "save": ["index"]}
    summary = _predict(
        photos / "a.jpg", tmp_path / "results", checkpoint_dir=str(tmp_path), **options
    )
    assert summary["model"]["use_ema"] is True
    _predict(photos / "a.jpg", tmp_path / "plain", checkpoint_dir=run, save=["index"])
    np.testing.assert_array_equal(
        *(_labels(tmp_path / folder / "a_index.png") for folder in ("results", "plain"))
    )
    with pytest.raises(UserError, match="--use_ema"):
        _predict(photos, tmp_path / "none", checkpoint_dir=run, **options)


def test_large_photos_are_cut_into_windows_on_request(run, photos, tmp_path):
    summary = _predict(
        photos / "more" / "a.jpg",
        tmp_path / "results",
        checkpoint_dir=run,
        checkpoint="1",
        window_size=(49, 49),
    )
    assert summary["model"]["windows"] == {"size": (49, 49), "overlap": 0.25, "max_pixels": None}
    assert _labels(tmp_path / "results" / "a_palette.png").shape == (90, 70)


def test_bad_photos_do_not_stop_the_others_and_are_reported(frozen, photos, tmp_path):
    content = (photos / "a.jpg").read_bytes()
    (photos / "broken.jpg").write_bytes(content[: len(content) * 4 // 5])
    (photos / "text.png").write_text("no image")
    results = tmp_path / "results"
    with pytest.raises(UserError, match="2 of 5 images could not be predicted"):
        _predict(photos, results, model=frozen)
    summary = json.loads((results / "predictions.json").read_text())
    states = {image["name"]: image["state"] for image in summary["images"]}
    assert states == {
        "a": "done",
        "b": "done",
        "more/a": "done",
        "broken": "failed",
        "text": "failed",
    }
    reasons = [image["reason"] for image in summary["images"] if image["state"] == "failed"]
    assert "truncated or damaged (" in reasons[0]
    assert "Invalid JPEG data" in reasons[0]
    assert "text.png is not a readable image" in reasons[1]


def test_photos_of_one_name_do_not_replace_each_other(frozen, photos, tmp_path):
    _predict([photos / "a.jpg", photos / "more" / "a.jpg"], tmp_path / "results", model=frozen)
    assert _labels(tmp_path / "results" / "photos_a_palette.png").shape == (40, 60)
    assert _labels(tmp_path / "results" / "more_a_palette.png").shape == (90, 70)


def test_earlier_results_are_kept_or_replaced_on_purpose_only(frozen, photos, tmp_path):
    results = tmp_path / "results"
    options = {"model": frozen, "save": ["index", "rle"]}
    _predict(photos / "a.jpg", results, **options)
    before = (results / "a_index.png").stat().st_mtime_ns
    with pytest.raises(UserError, match=r"already holds 2 of the files .*a_index.png.*--overwrite"):
        _predict(photos, results, **options)
    summary = _predict(photos, results, skip_existing=True, **options)
    assert [image["state"] for image in summary["images"]] == ["kept", "done", "done"]
    assert (results / "a_index.png").stat().st_mtime_ns == before
    assert len((results / "rle.csv").read_text().splitlines()) == 4
    summary = _predict(photos / "a.jpg", results, overwrite=True, **options)
    assert (results / "a_index.png").stat().st_mtime_ns > before
    assert len((results / "rle.csv").read_text().splitlines()) == 2


def test_masks_are_ready_for_the_server_of_a_benchmark(photos, tmp_path):
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        scores = tf.one_hot(
            tf.cast(images[..., 0], tf.int32) % 19, 19, name="SemanticProbabilities"
        )
        tf.argmax(scores, 3, name="SemanticPredictions")
    (tmp_path / "city.pb").write_bytes(graph.as_graph_def().SerializeToString())
    _predict(
        photos / "b.png",
        tmp_path / "results",
        model=str(tmp_path / "city.pb"),
        dataset="cityscapes",
        save=["index"],
        plain_names=True,
        label_ids=["cityscapes"],
    )
    written = _labels(tmp_path / "results" / "b.png")
    ids = [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    np.testing.assert_array_equal(written, np.array(ids)[pixels(5, 49, 65)[..., 0] % 19])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of them is given"),
        ({"model": "m.pb", "checkpoint_dir": "run"}, "--model.*--checkpoint_dir"),
        ({"checkpoint_dir": "run", "checkpoint": "last"}, "must be newest, best or a step"),
        (
            {"model": "m.pb", "checkpoint": "best"},
            "--checkpoint has no effect with --model",
        ),
        ({"model": "m.pb", "use_ema": True}, "--use_ema has no effect with --model"),
        ({"model": "m.pb", "output_dir": None}, "--output_dir is missing"),
        ({"model": "m.pb", "input": None}, "--input is missing"),
        ({"save": ["mask"]}, "--save is 'mask', but must be one of index, palette"),
        ({"skip_existing": True, "overwrite": True}, "pass one of them"),
        ({"plain_names": True, "save": ["index", "palette"]}, "has 2; save index or palette"),
        ({"model": "m.pb", "output_stride": 8}, "--output_stride has no effect with"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message, photos, tmp_path):
    paths = {"input": [str(photos)], "output_dir": str(tmp_path / "r")}
    with pytest.raises(OptionError, match=message):
        running.call("predict", device="cpu", **{**paths, **options})


def test_results_among_the_photos_are_refused(photos, tmp_path):
    for folder in (photos, tmp_path / "none" / ".." / "photos", photos / "."):
        with pytest.raises(OptionError, match="--output_dir=.*photos is also --input"):
            _predict(photos, folder, model="network.pb")


def test_a_model_that_is_none_is_a_sentence(photos, tmp_path):
    with pytest.raises(UserError, match=r"a.jpg is neither a frozen graph .* nor the folder"):
        _predict(photos, tmp_path / "results", model=str(photos / "a.jpg"))


@pytest.mark.parametrize(
    ("values", "message"),
    [(["1", "2"], "2 label ids for 3 classes"), (["kitti"], "neither cityscapes nor")],
)
def test_label_ids_must_fit_the_classes(values, message, frozen, photos, tmp_path):
    with pytest.raises(OptionError, match=message):
        _predict(photos, tmp_path / "results", model=frozen, label_ids=values)


def _command(*arguments, **settings):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, "predict.py"), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **settings,
    )


@pytest.mark.once
def test_the_command_reads_paths_from_standard_input_and_its_status_tells(frozen, photos, tmp_path):
    results = tmp_path / "results"
    done = _command(
        f"--model={frozen}",
        "--input=-",
        f"--output_dir={results}",
        input=f"{photos}/a.jpg\n{photos}/missing.jpg\n",
    )
    assert done.returncode == 1
    assert "missing.jpg cannot be read: No such file" in done.stderr
    assert "Error: 1 of 2 images could not be predicted" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Segmented 1 image" in done.stdout
    assert (results / "a_overlay.png").exists()

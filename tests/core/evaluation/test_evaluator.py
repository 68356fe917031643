"""One pass over a split, and the files it leaves."""

import csv
import dataclasses
import json
import threading

import numpy as np
import pytest

from core import network
from core.evaluation import evaluator, passes, report_page, results
from core.inference import steps, tta
from core.inference.predictor import Member
from core.inference.windows import Windows
from core.runs import folder as run_folder
from deployment import backend as backends
from deployment.backend import Backend
from options import saved as saved_options
from options.averaging import Averaging
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.classes import ClassSet
from utils.compat import slim, tf
from utils.errors import UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

MODEL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=16)
CROP = (33, 49)
CLASSES = 4
CLASS_SET = ClassSet(
    ("sky", "road", "tree, tall", "never"),
    ((1, 2, 3), (200, 0, 0), (0, 200, 0), (0, 0, 200)),
    name="tiny",
)


def _images(count=5, seed=0):
    """Returns a split of images of different sizes, padded to the crop."""
    random = np.random.RandomState(seed)
    images = {
        "image": np.full([count, *CROP, 3], 127.5, np.float32),
        "label": np.full([count, *CROP, 1], 255, np.int32),
        "name": np.array([f"image_{index}".encode() for index in range(count)]),
        "height": random.randint(20, CROP[0] + 1, count).astype(np.int32),
        "width": random.randint(20, CROP[1] + 1, count).astype(np.int32),
        "valid": np.ones([count], np.float32),
    }
    for index in range(count):
        height, width = images["height"][index], images["width"][index]
        images["image"][index, :height, :width] = random.randint(0, 256, [height, width, 3])
        label = random.randint(0, CLASSES - 1, [height, width, 1])
        label[random.uniform(size=label.shape) < 0.1] = 255
        images["label"][index, :height, :width] = label
    return images


def _make_batches(images, batch_size=1):
    """Returns what `run` wants: a function that makes the batches, the last one filled up."""
    missing = -len(images["valid"]) % batch_size
    filled = {
        # The fill repeats an image that has labels: only `valid` says that it does not count.
        name: np.concatenate([values, values[:missing] * (name != "valid")]) if missing else values
        for name, values in images.items()
        if name != "name"
    }
    filled["name"] = np.concatenate([images["name"], images["name"][:missing]])
    return lambda: tf.data.Dataset.from_tensor_slices(filled).batch(batch_size, drop_remainder=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint with random weights."""
    prefix = str(tmp_path_factory.mktemp("run") / "model.ckpt-7")
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        network.build(tf.zeros([1, *CROP, 3]), MODEL, CLASSES, crop_size=CROP)
        step = tf.train.get_or_create_global_step()
        # Weights of the last layer are tiny at the start: larger ones make all classes appear.
        larger = [
            tf.assign(variable, variable * 1000.0)
            for variable in slim.get_model_variables("logits")
        ]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run([larger, tf.assign(step, 7)])
            tf.train.Saver().save(session, prefix, write_meta_graph=False)
    return prefix


def _run(checkpoint, images, batch_size=1, classes=CLASS_SET, num_images=None, **options):
    return evaluator.run(
        _make_batches(images, batch_size),
        checkpoint_path=checkpoint,
        spec=MODEL,
        options=EvalOptions(eval_batch_size=batch_size, **options),
        crop_size=CROP,
        classes=classes,
        backend=Backend(DeviceOptions()),
        num_images=num_images,
    )


def _confusion(result):
    """Returns the confusion matrix of a result."""
    (measure,) = [measure for measure in result.measures if measure.name == "confusion"]
    return measure.sums


@pytest.fixture
def sees_sky_only(monkeypatch):
    """A network without weights, for tests of what is around it."""

    def prediction(images, *unused_arguments, **unused_settings):
        return tta.Prediction(tf.zeros(tf.shape(images)[:3], tf.int32), None)

    monkeypatch.setattr(passes.tta, "predict", prediction)


def _by_hand(checkpoint, images, clean=None, **settings):
    """Predicts image by image, cleans its labels and counts in numpy."""
    confusion = np.zeros([CLASSES, CLASSES], np.int64)
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.float32, [1, *CROP, 3])
        labels = tta.predict(image, MODEL, CLASSES, crop_size=CROP, **settings).labels
        tf.train.Saver(slim.get_model_variables()).restore(session, checkpoint)
        for index in range(len(images["valid"])):
            size = slice(images["height"][index]), slice(images["width"][index])
            predicted = session.run(labels, {image: images["image"][index : index + 1]})[0][size]
            predicted = predicted if clean is None else clean(predicted)
            label = images["label"][index, ..., 0][size]
            counted = label != 255
            np.add.at(confusion, (label[counted], predicted[counted]), 1)
    return confusion


def test_every_image_is_counted_once_in_any_batch_size(checkpoint):
    images = _images()
    expected = _by_hand(checkpoint, images)
    assert np.count_nonzero(expected.sum(axis=0)) > 1
    for batch_size in (1, 2):
        result = _run(checkpoint, images, batch_size, num_images=5)
        np.testing.assert_array_equal(_confusion(result), expected)
        assert result.num_images == 5
    assert _confusion(result).dtype == np.int64
    assert result.step == 7


def test_scales_and_flip_reach_the_predictions(checkpoint):
    images = _images(2)
    result = _run(checkpoint, images, 2, eval_scales=(0.5, 1.0), add_flipped_images=True)
    expected = _by_hand(checkpoint, images, scales=(0.5, 1.0), flip=True)
    # Other batch sizes may round otherwise.
    assert np.abs(_confusion(result) - expected).sum() <= 0.002 * expected.sum()
    assert np.any(_confusion(result) != _by_hand(checkpoint, images))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_what_is_measured_is_what_steps_leave_of_the_predictions(checkpoint, batch_size):
    images = _images(4)
    texts = ("min_object=40", "closing=1@road,fill_holes")
    clean = steps.create(texts, CLASS_SET)
    plain = _by_hand(checkpoint, images)
    expected = _by_hand(checkpoint, images, clean=clean)
    assert np.abs(plain - expected).sum() > 20
    result = _run(checkpoint, images, batch_size, postprocess=texts, num_images=4)
    np.testing.assert_array_equal(_confusion(result), expected)


@pytest.mark.usefixtures("sees_sky_only")
def test_pictures_are_kept_only_if_a_report_is_wanted(checkpoint):
    result = _run(checkpoint, _images(3))
    ((title, samples),) = result.samples
    assert title == "Worst images"
    assert {sample.name for sample in samples} == {"image_0", "image_1", "image_2"}
    scores = [sample.score for sample in samples]
    assert scores == sorted(scores)
    assert _run(checkpoint, _images(3), report=False).samples == ()


@pytest.mark.usefixtures("sees_sky_only")
def test_a_label_that_is_no_class_names_the_image(checkpoint):
    images = _images(3)
    images["label"][1, 2, 3:5] = 9
    with pytest.raises(UserError, match=r"image_1 has 2 pixels .* such as 9; .* 0 to 3"):
        _run(checkpoint, images, 2)


@pytest.mark.usefixtures("sees_sky_only")
def test_a_split_that_is_shorter_than_stated_is_an_error(checkpoint):
    with pytest.raises(UserError, match="split val of tiny .* 4 images.* 3"):
        _run(checkpoint, _images(3), num_images=4)


@pytest.mark.usefixtures("sees_sky_only")
def test_a_split_without_labels_cannot_be_measured(checkpoint):
    images = _images(2)
    images["label"][:] = 255
    with pytest.raises(UserError, match="2 images in split val"):
        _run(checkpoint, images)


def test_another_number_of_classes_is_a_sentence(checkpoint):
    classes = ClassSet(CLASS_SET.names[:3], name="tiny")
    with pytest.raises(UserError, match="4 outputs .* data set tiny has 3 classes"):
        _run(checkpoint, _images(1), classes=classes)


def test_a_checkpoint_of_another_network_is_a_sentence(checkpoint):
    with pytest.raises(UserError, match="does not fit the network"):
        evaluator.run(
            _make_batches(_images(1)),
            checkpoint_path=checkpoint,
            spec=NetworkSpec.of(depth_multiplier=0.5, aspp_convs_filters=16),
            options=EvalOptions(),
            crop_size=CROP,
            classes=CLASS_SET,
            backend=Backend(DeviceOptions()),
        )


def test_a_truncated_checkpoint_is_a_sentence(checkpoint, tmp_path):
    broken = tmp_path / "model.ckpt-7"
    for ending in (".index", ".data-00000-of-00001"):
        with open(checkpoint + ending, "rb") as file:
            content = file.read()
        end = len(content) // 2 if ending != ".index" else len(content)
        (tmp_path / f"model.ckpt-7{ending}").write_bytes(content[:end])
    with pytest.raises(UserError, match="damaged or incomplete"):
        _run(str(broken), _images(1))


@pytest.fixture(scope="module")
def result(checkpoint):
    return _run(checkpoint, _images(), 2)


SETTINGS = {
    "eval_split": "val",
    "eval_scales": [1.0],
    **Averaging().settings(),
    "use_ema": False,
    "eval_crop_size": list(CROP),
}


def test_the_files_of_an_evaluation_agree(result, tmp_path, capsys):
    folder = tmp_path / "eval"
    with results.prepared(str(folder)):
        summary = results.summary(result, SETTINGS, "cpu")
    for page in ("<html>", None):
        results.write(str(folder), summary, result, page, classes=CLASS_SET, options=EvalOptions())

    written = json.loads((folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(summary))
    assert written["num_images"] == 5
    assert written["step"] == 7
    assert written["checkpoint"] == result.checkpoint
    assert written["iou_per_class"][3] is None or written["iou_per_class"][3] == 0.0
    ious = [iou for iou in written["iou_per_class"] if iou is not None]
    assert written["miou"] == pytest.approx(np.mean(ious))
    assert [row["name"] for row in written["classes"]] == list(CLASS_SET.names)

    with open(folder / "confusion_matrix.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["label", *CLASS_SET.names]
    assert np.array_equal([row[1:] for row in rows[1:]], _confusion(result).astype(str))
    with open(folder / "metrics.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert float(table[1]["iou"]) == written["iou_per_class"][1]
    # The second evaluation had no report: that of the first must not stay beside its numbers.
    assert not (folder / "report.html").exists()

    lines = (folder / "training.log").read_text().splitlines()
    assert len(lines) == 2 * (CLASSES + 1)
    assert lines[1] == f"eval/miou_1.0_class_1 : {written['iou_per_class'][1]:.5f}"
    assert lines[4] == f"eval/miou_1.0_overall : {written['miou']:.5f}"
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion_matrix.csv",
        "metrics.csv",
        "metrics.json",
        "training.log",
    ]


def test_a_class_without_pixels_is_null_and_nan_and_not_in_the_mean(tmp_path):
    (measure,) = evaluator.create_measures(CLASS_SET, EvalOptions())
    measure.sums[:] = np.diag([5, 5, 0, 0])
    measure.sums[0, 1] = 5
    only = evaluator.Result((measure,), 1, (), "run/model.ckpt", None, 1.0)
    summary = results.summary(only, SETTINGS, "cpu")
    assert summary["iou_per_class"] == [0.5, 0.5, None, None]
    assert summary["miou"] == 0.5
    assert summary["classes_in_mean"] == [0, 1]
    results.write(str(tmp_path), summary, only, None, classes=CLASS_SET, options=EvalOptions())
    assert "eval/miou_1.0_class_2 : nan\n" in (tmp_path / "training.log").read_text()
    text = results.table(summary, only, CLASS_SET)
    assert "over 2 of 4 classes" in text
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("settings", "tag"),
    [
        ({}, "miou_1.0"),
        (
            {"eval_scales": (0.5, 1.75), "add_flipped_images": True},
            "miou_0.5_1.75_flipped",
        ),
        (
            {"add_rotated_images": True, "add_vertically_flipped_images": True},
            "miou_1.0_vertically_flipped_rotated",
        ),
        ({"average": "gmean"}, "miou_1.0_gmean"),
        ({"postprocess": ["fill_holes"]}, "miou_1.0_postprocessed"),
    ],
)
def test_log_lines_are_named_as_the_reference_names_them(settings, tag):
    assert results.tag_of(EvalOptions(**settings), CLASS_SET) == tag


def test_a_folder_that_cannot_be_written_is_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "eval")
    with pytest.raises(UserError, match="cannot write to --eval_logdir="), results.prepared(folder):
        pass


def _page(result, folder, notices=()):
    summary = results.summary(result, SETTINGS, "cpu")
    saved = saved_options.load(str(folder))
    return report_page.page(result, summary, CLASS_SET, MODEL, saved, notices)


def test_the_report_tells_results_settings_and_training(result, checkpoint):
    import common
    from options.data import RecordsOptions
    from options.training import TrainOptions

    folder = checkpoint.rsplit("/", 1)[0]
    records = [
        {"step": step, "loss": 1 / step, "total_loss": 2 / step, "learning_rate": 0.01}
        for step in range(1, 8)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    with open(folder + "/metrics.jsonl", "w") as file:
        file.write(lines + '{"step": 8, "lo')
    sections = {"model": MODEL, "train": TrainOptions(seed=41), "data": RecordsOptions()}
    run = {"versions": run_folder.versions(), "device": "cpu", "commit": "abc"}
    common.save_options(folder, {**sections, "run": run})

    text = _page(result, folder, ["Mind the gap."])
    for part in ("tree, tall", "image_0", "Mind the gap.", "Learning rate", "41", "commit abc"):
        assert part in text
    assert "step 7: total loss" in text
    assert "step 8" not in text


def test_the_report_does_without_options_and_curves(result, tmp_path):
    alone = dataclasses.replace(result, checkpoint=str(tmp_path / "model.ckpt"), step=None)
    text = _page(alone, tmp_path)
    assert 'id="training"' not in text
    assert "not stored in the checkpoint" in text


@pytest.fixture(scope="module")
def sure_checkpoint(tmp_path_factory):
    """A checkpoint whose probabilities differ by more than rounding."""
    prefix = str(tmp_path_factory.mktemp("sure") / "model.ckpt-7")
    with tf.Graph().as_default(), tf.Session() as session:
        network.build(tf.zeros([1, *CROP, 3]), MODEL, CLASSES, crop_size=CROP)
        # With these weights three classes are predicted.
        load_weights(session, "a")
        tf.train.Saver().save(session, prefix, write_meta_graph=False)
    return prefix


def _measured(checkpoint, images, batch_size=1, **arguments):
    return evaluator.run(
        _make_batches(images, batch_size),
        checkpoint_path=checkpoint,
        **{
            "spec": MODEL,
            "options": EvalOptions(eval_batch_size=batch_size, calibration_bins=5),
            "crop_size": CROP,
            "classes": CLASS_SET,
            "backend": Backend(DeviceOptions()),
            **arguments,
        },
    )


def test_the_mean_of_a_checkpoint_and_itself_is_that_checkpoint(sure_checkpoint):
    images = _images(3)
    one = _measured(sure_checkpoint, images, 2)
    twice = _measured(sure_checkpoint, images, 2, others=(Member(sure_checkpoint, MODEL),))
    assert np.abs(_confusion(twice) - _confusion(one)).sum() <= 0.002 * _confusion(one).sum()
    assert twice.num_images == 3
    assert twice.checkpoints == (sure_checkpoint, sure_checkpoint)
    assert twice.score("ece") == pytest.approx(one.score("ece"), abs=1e-3)
    bins = one.scores()["calibration"]["bins"]
    assert sum(item["share"] for item in bins) == pytest.approx(1.0)


def test_windows_of_the_whole_image_see_what_the_whole_image_shows(sure_checkpoint):
    images = _images(3)
    options = EvalOptions(eval_batch_size=2, boundary_width=0.03)
    whole = _measured(sure_checkpoint, images, options=options)
    windows = _measured(sure_checkpoint, images, options=options, windows=Windows(CROP, 0.2, 1))
    assert np.abs(_confusion(windows) - _confusion(whole)).sum() <= 0.002 * _confusion(whole).sum()
    assert windows.score("boundary_iou") == pytest.approx(whole.score("boundary_iou"), abs=5e-3)
    cut = _measured(sure_checkpoint, images, options=options, windows=Windows((17, 33), 0.2))
    assert _confusion(cut).sum() == _confusion(whole).sum()
    assert np.any(_confusion(cut) != _confusion(whole))


def test_several_labels_of_a_pixel_are_measured_either_way(sure_checkpoint, tmp_path):
    """The four outputs of the network are four independent labels here."""
    classes = ClassSet(CLASS_SET.names, task="multilabel", name="tiny")
    images = _images(3)
    one = images["label"] == np.arange(CLASSES)
    # The first label is set beside the others; ignored pixels are ignored in all labels.
    sets = (one | (np.arange(CLASSES) == 0)).astype(np.int32)
    images["label"] = np.where(images["label"] == 255, 255, sets)
    options = EvalOptions(eval_batch_size=2, calibration_bins=5)
    settings = {"classes": classes, "threshold": 0.25, "options": options}
    whole = _measured(sure_checkpoint, images, 2, **settings)
    pair = _measured(
        sure_checkpoint, images, 2, others=(Member(sure_checkpoint, MODEL),), **settings
    )
    scores = whole.scores()
    assert 0 < scores["mean_iou_of_labels"] < 1
    assert scores["classes"][0]["labelled"] == (images["label"] != 255)[..., 0].sum()
    for name in ("mean_iou_of_labels", "label_accuracy", "ece"):
        assert pair.score(name) == pytest.approx(whole.score(name), abs=5e-3)
    assert {sample.score_name for _, group in whole.samples for sample in group} == {"mean IoU"}
    summary = results.summary(whole, SETTINGS, "cpu")
    page = report_page.page(whole, summary, classes, MODEL, saved_options.load(str(tmp_path)), ())
    assert "mean IoU of labels" in page
    assert 'id="confusion"' not in page
    results.write(str(tmp_path), summary, whole, page, classes=classes, options=options)
    assert "mean_iou_of_labels_1.0_overall" in (tmp_path / results.LOG_FILE).read_text()
    assert not (tmp_path / results.CONFUSION_FILE).exists()
    assert "label accuracy" in results.table(summary, whole, classes)


def test_what_runs_side_by_side_is_complete_and_in_order():
    numbers, both = iter(range(7)), threading.Barrier(2, timeout=10)
    taking = threading.Lock()

    def fetch():
        with taking:
            number = next(numbers, None)
        if number is None:
            raise tf.errors.OutOfRangeError(None, None, "end")
        if number < 6:
            # Passed only by two calls at the same time.
            both.wait()
        return number

    assert sorted(passes._ahead(fetch, at_once=2)) == list(range(7))
    swapped = [(1, "b"), (0, "a"), (2, "c"), (4, "e"), (3, "d")]
    assert list(passes._in_order(swapped)) == list("abcde")


@pytest.mark.parametrize(("side", "scales", "at_once"), [(65, (1.0, 1.75), 2), (1025, (2.0,), 1)])
def test_only_small_batches_run_side_by_side(side, scales, at_once):
    images = tf.zeros([1, side, side, 3])
    backend = backends.create(DeviceOptions(device="cpu"))
    options = EvalOptions(eval_scales=scales)
    assert passes._runs_at_once(images, options, backend) == at_once
    assert (
        passes._runs_at_once(tf.placeholder(tf.float32, [1, None, None, 3]), options, backend) == 1
    )

"""The training command: what a user types, what is left behind, what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest

from commands import running
from core.checkpoints import restore
from datasets import description
from datasets.dataset import Dataset
from datasets.description import Description
from datasets.records import shards, tfrecord
from deployment import backend
from tests import small_data
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError
from utils.version import VERSION

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = {"depth_multiplier": 0.25, "aspp_convs_filters": 16}
CLASSES = 3


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return _records(str(tmp_path_factory.mktemp("records")))


def _records(folder, grey=False):
    """Writes six tiny records: the brightness of each half is its class; returns the folder."""
    random = np.random.RandomState(0)
    with tf.io.TFRecordWriter(os.path.join(folder, shards.shard_name("train", 0, 1))) as writer:
        for index in range(6):
            label = np.repeat(random.randint(0, CLASSES, [1, 2]), 24, 1).repeat(48, 0)
            image = label[..., None] * 100 + random.randint(0, 50, [48, 48, 3])
            label = label.astype(np.uint8)
            label[0] = 255
            image = image[..., 0] if grey else image
            record = tfrecord.Record(
                f"image_{index}",
                small_data.png(image.astype(np.uint8)),
                "png",
                48,
                48,
                small_data.png(label),
            )
            writer.write(tfrecord.serialize(record))
    colors = ((0, 0, 0), (200, 0, 0), (0, 200, 0))
    classes = ClassSet(("a", "b", "c"), colors, name="tiny")
    description.save(folder, Description(classes, {"train": 6}))
    return folder


def _train(records, folder, steps, model=None, **options):
    """Trains the tiny network in this process."""
    settings = {
        "train_batch_size": 2,
        "iterations_per_loop": 2,
        "base_learning_rate": 0.05,
        **options,
    }
    running.call(
        "train",
        **(model or MODEL),
        batch_norm_decay=0.9,
        train_logdir=str(folder),
        training_number_of_steps=steps,
        log_steps=2,
        **settings,
        dataset_dir=records,
        train_crop_size=(33, 33),
        min_scale_factor=1.0,
        max_scale_factor=1.0,
        device="cpu",
    )


def _metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_training_lowers_the_loss_and_leaves_what_others_need(records, tmp_path):
    _train(records, tmp_path, 100, train_batch_size=6, base_learning_rate=0.1)
    metrics = _metrics(tmp_path)
    assert metrics[-1]["step"] == 100
    losses = [record["loss"] for record in metrics]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    assert restore.step_of(restore.newest(str(tmp_path))) == 100
    saved = json.loads((tmp_path / "options.json").read_text())
    assert saved["network"]["depth_multiplier"] == 0.25
    assert saved["run"]["num_classes"] == CLASSES
    assert saved["run"]["versions"]["deeplabv3"] == VERSION
    assert saved["run"]["class_names"] == ["a", "b", "c"]
    assert any(name.startswith("events.out.tfevents") for name in os.listdir(tmp_path))


def test_a_run_in_two_parts_learns_what_one_without_a_break_learns(records, tmp_path):
    flat = {"learning_power": 0.0}  # A rate that does not depend on the number of steps.
    _train(records, tmp_path / "whole", 6, **flat)
    for steps in (4, 6):
        _train(records, tmp_path / "parts", steps, **flat)
    whole, parts = (
        restore.reader(restore.newest(str(tmp_path / name))) for name in ("whole", "parts")
    )
    for name in restore.shapes(restore.newest(str(tmp_path / "parts"))):
        np.testing.assert_allclose(
            parts.get_tensor(name), whole.get_tensor(name), rtol=1e-4, atol=1e-6, err_msg=name
        )


def _tensors(folder):
    opened = restore.reader(restore.newest(str(folder)))
    return {name: opened.get_tensor(name) for name in opened.get_variable_to_shape_map()}


# A rate that depends on the step, but not on the number of steps.
_UNFREEZING = {
    "freeze": ("backbone",),
    "unfreeze_step": 3,
    "learning_policy": "step",
    "learning_rate_decay_step": 2,
    "ema_decay": 0.9,
}


@pytest.mark.once
@pytest.mark.usefixtures("shallow_mobilenet")
def test_unfreezing_is_the_same_whenever_the_run_is_broken_off(records, tmp_path):
    _train(records, tmp_path / "whole", 6, save_checkpoints_steps=100, **_UNFREEZING)
    whole = _tensors(tmp_path / "whole")
    kept = [restore.step_of(path) for path in restore.find_all(str(tmp_path / "whole"))]
    assert kept == [3, 6]
    for steps in (2, 3, 6):
        _train(records, tmp_path / "parts", steps, **_UNFREEZING)
        reached = _tensors(tmp_path / "parts")
        slots = [name for name in reached if name.startswith("MobilenetV2/Conv/weights/")]
        assert len(slots) == (2 if steps > 3 else 0)
    assert sorted(reached) == sorted(whole)
    for name, value in whole.items():
        np.testing.assert_array_equal(reached[name], value, err_msg=name)


@pytest.mark.usefixtures("shallow_mobilenet")
def test_what_was_frozen_is_as_it_was_until_it_is_trained(records, tmp_path):
    _train(records, tmp_path, 4, save_checkpoints_steps=1, iterations_per_loop=1, **_UNFREEZING)
    assert [record["step"] for record in _metrics(tmp_path)] == [2, 4]
    weights, moving = "MobilenetV2/Conv/weights", "MobilenetV2/Conv/BatchNorm/moving_mean"
    steps = [restore.reader(path) for path in restore.find_all(str(tmp_path))]
    for name in (weights, moving):
        values = [opened.get_tensor(name) for opened in steps]
        np.testing.assert_array_equal(values[2], values[0])
        assert not np.array_equal(values[3], values[2])
        # The average counts what it would have seen: the same value in each step before.
        decay = min(0.9, 3 / 12)
        expected = decay * values[2] + (1 - decay) * values[3]
        average = steps[3].get_tensor(name + "/ExponentialMovingAverage")
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    first = steps[3].get_tensor(weights + "/Momentum")
    assert np.abs(first).max() > 0


def test_images_labels_and_predictions_go_to_tensorboard_when_asked(records, tmp_path):
    _train(records, tmp_path, 2, save_summaries_images=True)
    (path,) = tmp_path.glob("events.out.tfevents.*.images")
    tags = {
        value.tag: value.image
        for event in tf.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {tag.split("/")[1] for tag in tags} == {"image", "label", "prediction"}
    assert {(image.height, image.width) for image in tags.values()} == {(33, 33)}


def test_another_run_in_the_folder_is_refused(records, tmp_path):
    _train(records, tmp_path, 2)
    with pytest.raises(UserError, match="--base_learning_rate was 0.05, now 0.01"):
        _train(records, tmp_path, 4, base_learning_rate=0.01)
    with pytest.raises(UserError, match="--depth_multiplier was 0.25, now 0.5"):
        _train(records, tmp_path, 4, model={**MODEL, "depth_multiplier": 0.5})


def test_weights_of_another_class_count_need_the_flag_that_drops_the_head(records, tmp_path):
    other = tmp_path / "other"
    _train(records, other, 2)
    start = {"tf_initial_checkpoint": restore.newest(str(other))}
    wide = {**MODEL, "aspp_convs_filters": 24}
    with pytest.raises(UserError, match="(?s)aspp0/weights: .*--initialize_last_layer=false"):
        _train(records, tmp_path / "strict", 2, model=wide, **start)
    _train(records, tmp_path / "loose", 2, model=wide, initialize_last_layer=False, **start)
    assert not (tmp_path / "strict").exists()


def _values(folder) -> dict:
    """Returns the values of a run's last checkpoint."""
    path = restore.newest(str(folder))
    return {name: restore.reader(path).get_tensor(name) for name in restore.shapes(path)}


def test_a_frozen_graph_by_name_starts_a_training(records, tmp_path):
    _train(records, tmp_path / "other", 2)
    checkpoint = restore.newest(str(tmp_path / "other"))
    with tf.Graph().as_default() as graph, tf.Session() as session:
        shapes = restore.shapes(checkpoint)
        variables = [tf.get_variable(n, s) for n, s in shapes.items() if n != "global_step"]
        session.run(restore.restore_op(checkpoint, variables))
        names = [variable.op.name for variable in variables]
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), names)
    (tmp_path / "frozen.pb").write_bytes(frozen.SerializeToString())
    start = {"init": "frozen", "weights_dir": str(tmp_path), "base_learning_rate": 1e-9}
    _train(records, tmp_path / "run", 2, **start)
    expected, found = _values(tmp_path / "other"), _values(tmp_path / "run")
    assert set(found) == set(expected)
    for name in ("MobilenetV2/Conv/weights", "aspp0/weights", "logits/semantic/weights"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)
    # A run that continues needs the file no more.
    (tmp_path / "frozen.pb").unlink()
    _train(records, tmp_path / "run", 4, **start)
    assert restore.step_of(restore.newest(str(tmp_path / "run"))) == 4


@pytest.mark.slow
def test_a_sum_of_losses_with_weights_from_counts_is_trained_and_continued(
    records, tmp_path, monkeypatch, caplog
):
    settings = {"loss": "cross_entropy + 0.5*dice(over=image)", "label_weights_from": "inverse"}
    _train(records, tmp_path, 2, **settings)
    first = json.loads((tmp_path / "options.json").read_text())["loss"]
    assert first["loss"] == settings["loss"]
    assert np.mean(first["label_weights"]) == pytest.approx(1.0, rel=1e-5)
    assert "Loss: cross_entropy + 0.5*dice" in caplog.text
    assert "Class weights by --label_weights_from=inverse" in caplog.text
    monkeypatch.setattr(Dataset, "label_weights", None)
    _train(records, tmp_path, 4, **settings)
    assert json.loads((tmp_path / "options.json").read_text())["loss"] == first
    with pytest.raises(UserError, match=r"--label_weights_from was inverse, now None"):
        _train(records, tmp_path, 6, loss=settings["loss"])


def test_a_grey_network_is_trained_evaluated_and_used_with_its_channel(records, tmp_path):
    (tmp_path / "grey").mkdir()
    grey = _records(str(tmp_path / "grey"), grey=True)
    _train(grey, tmp_path / "run", 2, input_channels=1)
    checkpoint = restore.newest(str(tmp_path / "run"))
    assert restore.shapes(checkpoint)["MobilenetV2/Conv/weights"] == [3, 3, 1, 8]
    evaluation = {"eval_split": "train", "eval_crop_size": (48, 48), "report": False}
    summary = running.call(
        "evaluate", checkpoint_path=[checkpoint], dataset_dir=grey, **evaluation, device="cpu"
    )
    assert summary["num_images"] == 6
    small_data.save_image(tmp_path / "photo.png", small_data.pixels(1, 40, 48))
    running.call(
        "predict",
        input=(str(tmp_path / "photo.png"),),
        checkpoint_path=[checkpoint],
        output_dir=str(tmp_path / "out"),
        eval_crop_size=(48, 48),
        device="cpu",
    )
    assert os.listdir(str(tmp_path / "out"))
    colored = {"dataset_dir": records, **evaluation, "device": "cpu"}
    with pytest.raises(UserError, match="--input_channels is 1, but .* has 3 channels"):
        running.call("evaluate", checkpoint_path=[checkpoint], **colored)
    with pytest.raises(UserError, match="--input_channels is 1, but .* has 3 channels"):
        _train(records, tmp_path / "other", 2, input_channels=1)
    with pytest.raises(UserError, match="--input_channels is 4, but .* has 1 channels"):
        _train(grey, tmp_path / "other", 2, input_channels=4)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_weights": (1.0, 2.0)}, "--label_weights has 2 values"),
        ({"loss": "cross_entropy+dise"}, "dise is not a known loss"),
        (
            {"label_weights": (1.0,) * CLASSES, "label_weights_from": "inverse"},
            "--label_weights has no effect with --label_weights_from=inverse",
        ),
        ({"train_split": "val"}, "no records of split val"),
        ({"model": {"model_variant": "resnet_v2_50"}}, "resnet_v2_50 is not a known"),
        ({"tf_initial_checkpoint": "nowhere/model.ckpt"}, "no checkpoint at nowhere/model.ckpt"),
    ],
)
def test_what_cannot_work_is_a_sentence_and_leaves_nothing_behind(
    records, tmp_path, options, message
):
    with pytest.raises(UserError, match=message):
        _train(records, tmp_path / "new" / "run", 2, **options)
    with pytest.raises(UserError, match=message):
        _train(records, tmp_path, 2, **options)
    assert os.listdir(str(tmp_path)) == []


def test_a_given_count_that_the_records_contradict_is_refused(records, tmp_path):
    with pytest.raises(OptionError, match="--num_training_samples is 7, but the records hold 6"):
        running.call(
            "train",
            **MODEL,
            train_logdir=str(tmp_path),
            dataset_dir=records,
            num_training_samples=7,
            train_crop_size=(33, 33),
            device="cpu",
        )


def _with_bad_batch(number):
    """Replaces the input by one whose batch of this number (from 0 on) is not finite."""
    original = Dataset.train_batches

    def batches(*arguments, start_step=0, **settings):
        def spoil(count, batch):
            factor = tf.where(tf.equal(count, number), float("nan"), 1.0)
            return dict(batch, image=batch["image"] * factor)

        dataset = original(*arguments, start_step=start_step, **settings)
        counts = tf.data.Dataset.range(start_step, 1 << 40)
        return tf.data.Dataset.zip((counts, dataset)).map(spoil)

    return mock.patch.object(Dataset, "train_batches", batches)


def test_a_step_that_is_not_finite_is_explained_and_the_last_checkpoint_is_kept(records, tmp_path):
    message = (
        r"step 6 is not finite: .*gradient norm nan at learning rate 0\.0\d+\. "
        r"Images: image_\d, image_\d; the images themselves are not finite\."
    )
    with _with_bad_batch(5), pytest.raises(UserError, match=message):
        _train(records, tmp_path, 8, save_checkpoints_steps=2)
    assert restore.step_of(restore.newest(str(tmp_path))) == 4


def test_a_run_goes_back_and_on_without_the_bad_batches_and_can_be_continued(records, tmp_path):
    settings = {"save_checkpoints_steps": 4, "recover_from_nan": 1, "learning_power": 0.0}
    with _with_bad_batch(5):
        _train(records, tmp_path, 6, **settings)
        _train(records, tmp_path, 8, **settings)
    (record,) = json.loads((tmp_path / "recoveries.json").read_text())
    assert [record[name] for name in ("from_step", "bad_step", "skipped_batches")] == [4, 6, 2]
    assert "recovery 1 of 1: step 6 is not finite" in (tmp_path / "training.log").read_text()
    assert [entry["step"] for entry in _metrics(tmp_path)] == [2, 4, 6, 8]


def test_a_run_goes_back_only_so_often(records, tmp_path):
    settings = {"base_learning_rate": 1e30, "recover_from_nan": 1, "iterations_per_loop": 1}
    with pytest.raises(UserError, match="is not finite"):
        _train(records, tmp_path, 20, **settings)
    assert len(json.loads((tmp_path / "recoveries.json").read_text())) == 1


def test_averages_are_trained_and_evaluated(records, tmp_path):
    _train(records, tmp_path, 4, ema_decay=0.9, accumulate_batches=2, freeze=("backbone",))
    path = restore.newest(str(tmp_path))
    stored = restore.reader(path)
    name = "logits/semantic/weights"
    average = stored.get_tensor(name + "/ExponentialMovingAverage")
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, average.shape),
            tf.get_variable("MobilenetV2/Conv/weights", [3, 3, 3, 8]),
        ]
        session.run(restore.restore_op(path, variables, averaged=True))
        head, backbone = session.run(variables)
    np.testing.assert_array_equal(head, average)
    np.testing.assert_array_equal(backbone, stored.get_tensor("MobilenetV2/Conv/weights"))
    assert not np.array_equal(head, stored.get_tensor(name))


def _command(*arguments):
    return [sys.executable, os.path.join(ROOT, "train_npu.py"), *arguments]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no_such_flag=1"], "no_such_flag"),
        (["--output_stride=12"], "--output_stride is 12, but must be one of 4, 8, 16, 32"),
        (["--train_crop_size=33,x"], "--train_crop_size=33,x must hold values of type int"),
        (["stray"], "unexpected argument 'stray'"),
        (["--nas_use_classification_head"], "cannot have an effect"),
    ],
)
def test_a_refused_flag_ends_with_status_2_before_tensorflow_is_loaded(arguments, message):
    environment = {**os.environ, "PYTHONVERBOSE": ""}
    result = subprocess.run(
        _command(*arguments),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def _flags(records, folder, steps):
    return _command(
        f"--dataset_dir={records}",
        f"--train_logdir={folder}",
        f"--training_number_of_steps={steps}",
        "--train_crop_size=33,33",
        "--train_batch_size=2",
        "--depth_multiplier=0.25",
        "--aspp_convs_filters=16",
        "--iterations_per_loop=1",
        "--log_steps=1",
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_signal_saves_and_the_same_command_goes_on(records, tmp_path, number, status):
    process = subprocess.Popen(
        _flags(records, tmp_path, 100000), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.time() + 120
    while not (tmp_path / "metrics.jsonl").exists() and time.time() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert b"the same command continues it" in errors
    assert b"Traceback" not in errors
    # What TensorFlow reports of an operation that oneDNN leaves to others looks like a failure.
    assert b"oneDNN supports" not in errors
    step = restore.step_of(restore.newest(str(tmp_path)))
    assert step >= 1
    subprocess.run(_flags(records, tmp_path, step + 2), check=True, stderr=subprocess.DEVNULL)
    assert [record["step"] for record in _metrics(tmp_path)] == list(range(1, step + 3))


def test_a_number_of_steps_that_the_device_cannot_make_leaves_no_folder_behind(
    records, tmp_path, monkeypatch
):
    monkeypatch.setattr(backend.Backend, "can_shorten_loop", lambda self: False)
    with pytest.raises(OptionError, match="training_number_of_steps=3 .* --iterations_per_loop=2"):
        _train(records, tmp_path / "run", 3)
    assert os.listdir(str(tmp_path)) == []

r"""Speed of evaluation, compared with the network alone: `python -m benchmarks.evaluation`.

  python -m benchmarks.evaluation --model_variant=resnet_v1_50
  python -m benchmarks.evaluation --usual --json_path=usual.json

The records are JPEG images of random scenes with masks, of `--size` each, 21 classes; the weights
are random. Measured are

- the bare network: logits at one scale, batch 1, of an image that is in memory;
- the evaluation at one scale, and at six scales with mirrored images: reading and decoding,
  network, resizing, metrics, and the pictures of the report.

Six scales with mirrored images have 17.4 times the arithmetic of one scale (scale s counts s^2,
everything twice). The ratio is evaluated images/s, times that factor, over bare images/s: 1 means
that only the network costs time, and that large scales run as efficiently as one. On a busy machine
the same ratio of CPU times is more reliable.

`--usual` also measures the formulation of the DeepLab family: SpaceToBatch around atrous
convolutions (on TensorFlow 1.15), a separate run of the network for every scale and mirrored image,
all in one graph, and TensorFlow's streaming metrics.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import statistics
import tempfile
import time

import numpy as np
from absl import flags
from PIL import Image

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions
from common import option
from core import layers, network
from core.checkpoints import restore as checkpoint
from core.evaluation import evaluator
from core.layers import convolution
from datasets.dataset import Dataset
from datasets.records import shards, tfrecord
from deployment import backend as backends
from options import averaging
from options.config import Config
from options.data import DATA_RECORDS
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.network import NETWORK_OPTIONS
from utils.compat import tf

_CLASSES = 21
_PROCESSOR = "processor s per image"
_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(BenchmarkOptions):
    """What is measured."""

    size: int = option(flags.DEFINE_integer, 257, "Height and width of the images.", minimum=33)
    images: int = option(flags.DEFINE_integer, 48, "Images at one scale.", minimum=8)
    repetitions: int = option(
        flags.DEFINE_integer, 3, "Measurements of each figure, interleaved.", minimum=1
    )
    usual: bool = option(
        flags.DEFINE_bool, False, "Also measure the formulation of the DeepLab family."
    )


OPTION_CLASSES = (EvaluationOptions, *NETWORK_OPTIONS, DeviceOptions)


def main(flag_values):
    """Measures and publishes the figures."""
    options = common.from_flags(EvaluationOptions, flag_values)
    spec = Config.from_flags(NETWORK_OPTIONS, flag_values).spec
    device_options = common.from_flags(DeviceOptions, flag_values)
    found = runner.Run("evaluation", options, spec, device_options)
    with tempfile.TemporaryDirectory() as folder:
        rows, ratios = _measure(options, spec, device_options, folder)
    found.publish(
        rows,
        ratios,
        heading=f"{spec.options.model_variant} at output stride {spec.options.output_stride}, "
        f"{options.size}x{options.size}, batch 1; ratios with the arithmetic of each.",
    )


def _measure(options, spec, device_options, folder) -> tuple:
    backend = backends.create(device_options)
    crop = (options.size, options.size)
    prefix = _save_weights(os.path.join(folder, "model.ckpt-1"), spec, crop)
    many = max(8, options.images // 6)
    data = {
        count: _write_records(os.path.join(folder, str(count)), count, options.size)
        for count in {options.images, many}
    }
    one = EvalOptions()
    six = EvalOptions(eval_scales=_SCALES, add_flipped_images=True)
    with _bare(prefix, spec, crop, backend) as forward:
        cases = {
            "bare network": (lambda: [forward() for _ in range(options.images)], options.images, 1),
        }
        for name, settings, count in (
            ("one scale", one, options.images),
            ("six + flip", six, many),
        ):
            factor = averaging.of(settings, settings.eval_scales).cost
            functions = {name: _ours}
            if options.usual:
                functions[f"{name}, usual"] = _usual
            for label, function in functions.items():
                run = _timed(function, prefix, spec, settings, data[count], crop, backend)
                cases[label] = (run, count, factor)
        found = {name: [] for name in cases}
        # Interleaved, so that a busy moment of the machine does not affect only one.
        for _ in range(options.repetitions):
            for name, (function, _, _) in cases.items():
                found[name].append(_times_of(function))
    return _rows(cases, found)


def _times_of(function) -> tuple:
    """Returns the seconds and CPU seconds of a function, unless it returns its own."""
    begin, processor = time.perf_counter(), time.process_time()
    own = function()
    if isinstance(own, tuple):
        return own
    return time.perf_counter() - begin, time.process_time() - processor


def _timed(function, *arguments):
    return lambda: function(*arguments)


def _rows(cases, found) -> tuple:
    """Returns the figures, and their ratios to the bare network by time and by CPU time."""
    rows, processor, ratios = [], [], []
    for name, (_, count, factor) in cases.items():
        seconds, used = zip(*found[name])
        per_image = statistics.median(used) / count
        rows.append(runner.rates(name, seconds, count, "images/s", **{_PROCESSOR: per_image}))
        processor.append(runner.rates(f"{name}, {_PROCESSOR}", used, count, "images/s"))
        if len(rows) == 1:
            continue
        ratios.append(runner.ratio(rows[-1], rows[0], factor))
        by_processor = f"{ratios[-1].name}, by processor time"
        ratios.append(runner.ratio(processor[-1], processor[0], factor, by_processor))
    return rows, ratios


def _save_weights(prefix, spec, crop) -> str:
    with tf.Graph().as_default():
        network.build(tf.zeros([1, *crop, 3]), spec, _CLASSES, crop_size=crop)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            tf.train.Saver().save(session, prefix, write_meta_graph=False)
    return prefix


def _write_records(folder, count, size) -> Config:
    """Writes split val: blurred noise as JPEG, masks of few regions as PNG."""
    os.makedirs(folder)
    random = np.random.RandomState(0)
    with tf.io.TFRecordWriter(os.path.join(folder, shards.shard_name("val", 0, 1))) as writer:
        for number in range(count):
            coarse = random.randint(0, 256, [size // 8, size // 8, 3]).astype(np.uint8)
            image = Image.fromarray(coarse).resize((size, size), Image.BILINEAR)
            ids = random.randint(0, _CLASSES, [4, 4]).astype(np.uint8)
            label = Image.fromarray(ids).resize((size, size), Image.NEAREST)
            record = tfrecord.Record(
                str(number), _encoded(image, "JPEG"), "jpeg", size, size, _encoded(label, "PNG")
            )
            writer.write(tfrecord.serialize(record))
    values = {"dataset_dir": folder, "num_classes": _CLASSES, "ignore_label": 255}
    return Config.create(DATA_RECORDS, {**values, "eval_crop_size": (size, size)})


def _encoded(image, kind) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@contextlib.contextmanager
def _bare(prefix, spec, crop, backend):
    """Yields a function that runs the network once."""
    with tf.Graph().as_default():
        # A variable, since TensorFlow would fold operations on constants.
        images = tf.Variable(tf.random.uniform([1, *crop, 3], 0, 255, seed=0), trainable=False)
        outputs = network.build(images, spec, _CLASSES, crop_size=crop).logits
        restore = checkpoint.restore_op(prefix, network.variables())
        with tf.Session(config=backend.session_config()) as session:
            session.run([images.initializer, restore])
            for _ in range(3):
                session.run(outputs.op)
            yield lambda: session.run(outputs.op)


def _ours(prefix, spec, options, config, crop, backend) -> tuple:
    """Evaluates once; returns seconds and CPU seconds without building and restoring."""
    dataset = Dataset.open(config)
    result = evaluator.run(
        lambda: dataset.eval_batches(
            split="val",
            batch_size=1,
            pad_color=network.pad_color(spec),
        ),
        checkpoint_path=prefix,
        spec=spec,
        options=options,
        crop_size=crop,
        classes=dataset.classes,
        backend=backend,
    )
    return result.seconds, result.processor_seconds


def _usual(prefix, spec, options, config, crop, backend) -> tuple:
    """Evaluates in the DeepLab family's formulation; returns seconds and CPU seconds."""
    dataset = Dataset.open(config)
    with tf.Graph().as_default(), _space_to_batch():
        batches = dataset.eval_batches(split="val", batch_size=1, pad_color=network.pad_color(spec))
        batch = tf.data.make_one_shot_iterator(batches).get_next()
        mean = _mean_of_all_runs(batch["image"], spec, options, crop)
        predictions = tf.reshape(tf.argmax(mean, 3), [-1])
        labels = tf.reshape(batch["label"], [-1])
        weights = tf.cast(tf.not_equal(labels, dataset.classes.ignore_label), tf.float32)
        labels = tf.where(weights > 0, labels, tf.zeros_like(labels))
        update = tf.metrics.mean_iou(labels, predictions, _CLASSES, weights=weights)[1]
        restore = checkpoint.restore_op(prefix, network.variables())
        with tf.Session(config=backend.session_config()) as session:
            session.run([tf.local_variables_initializer(), restore])
            begin, processor = time.perf_counter(), time.process_time()
            with contextlib.suppress(tf.errors.OutOfRangeError):
                while True:
                    session.run(update)
            return time.perf_counter() - begin, time.process_time() - processor


def _mean_of_all_runs(images, spec, options, crop):
    parts = []
    for scale in options.eval_scales:
        scaled = spec.replace(image_pyramid=(scale,))
        for mirrored in (False, True) if options.add_flipped_images else (False,):
            inputs = tf.reverse(images, [2]) if mirrored else images
            outputs = network.build(inputs, scaled, _CLASSES, crop_size=crop).logits
            outputs = tf.reverse(outputs, [2]) if mirrored else outputs
            parts.append(tf.nn.softmax(layers.resize_bilinear(outputs, crop)))
    return tf.add_n(parts) / float(len(parts))


@contextlib.contextmanager
def _space_to_batch():
    """Replaces atrous convolutions by tf-slim's, which on TF 1.15 use SpaceToBatch."""

    def convolve(inputs, weights, stride=1, rate=1, *, padding="SAME", **unused_formulation):
        return tf.nn.convolution(
            inputs, weights, padding, strides=[stride] * 2, dilation_rate=[rate] * 2
        )

    ours = convolution.convolve
    convolution.convolve = convolve
    try:
        yield
    finally:
        convolution.convolve = ours


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)

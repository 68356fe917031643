r"""Latency of exported networks beside the network itself: `python -m benchmarks.export`.

  python -m benchmarks.export
  python -m benchmarks.export --checkpoint_dir=RUN --crop=513 --cores=2

Exports a checkpoint as `export_model.py` does, by default the small network of docs/results/camvid,
and times in turn, batch 1, in one process bound to `--cores`:

- the bare network: logits of an image that is there already;
- the checkpoint: from a uint8 image to labels and probabilities of its size;
- the exported files, which do the same: frozen graph, SavedModel, TFLite (float32, float16, int8)
  and, where its packages are installed, ONNX.

Ratios are to the bare network. TFLite runs as `export_model.py` opens it, with one thread; the
others have a thread for each core.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from absl import flags
from PIL import Image

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions, Row
from common import option
from core import network
from core.checkpoints import restore as checkpoint
from core.export import graph, onnx_model, saved_model, tflite
from core.export.artifact import Network
from datasets import synthetic_scenes
from deployment import backend as backends
from options import saved as saved_options
from options.averaging import Averaging
from options.config import Config
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CALIBRATION_IMAGES = 4
_BARE = "bare network"


@dataclasses.dataclass(frozen=True)
class ExportLatencyOptions(BenchmarkOptions):
    """What is measured."""

    checkpoint_dir: str = option(
        flags.DEFINE_string, "docs/results/camvid", "Folder of the checkpoint and its options."
    )
    crop: int = option(flags.DEFINE_integer, 257, "Height and width of the image.", minimum=33)
    images: int = option(flags.DEFINE_integer, 10, "Runs per repetition.", minimum=1)
    cores: int = option(flags.DEFINE_integer, 1, "Cores to which all runs are bound.", minimum=1)


OPTION_CLASSES = (ExportLatencyOptions,)


def main(flag_values):
    """Exports, measures and publishes the figures."""
    options = common.from_flags(ExportLatencyOptions, flag_values)
    cores = sorted(os.sched_getaffinity(0))
    if options.cores > len(cores):
        raise OptionError(f"--cores={options.cores}, but there are {len(cores)}; pass fewer.")
    found = runner.Run("export", options)
    with tempfile.TemporaryDirectory() as folder:
        artifacts, missing = _export(options, folder)
        # TensorFlow's threads start with the first session and inherit this.
        os.sched_setaffinity(0, cores[: options.cores])
        rows = _measure(options, folder, artifacts)
    found.publish(
        rows,
        [runner.ratio(row, rows[0]) for row in rows[1:]],
        heading=f"{options.checkpoint_dir} at {options.crop}x{options.crop}, batch 1, "
        f"{options.cores} core(s).",
        missing=missing,
    )


def _openers() -> dict:
    """Returns the function that opens each kind of file."""
    return {
        "frozen": graph.opened,
        "savedmodel": saved_model.opened,
        "tflite": tflite.opened,
        "tflite_float16": tflite.opened,
        "tflite_int8": tflite.opened,
        "onnx": onnx_model.opened,
    }


def _export(options: ExportLatencyOptions, folder: str) -> tuple:
    """Exports; returns the metadata of the files, and why others are missing."""
    formats, missing = ["frozen", "savedmodel", "tflite"], {}
    try:
        onnx_model.check_available(None)
        formats.append("onnx")
    except OptionError as error:
        missing["onnx"] = str(error)
    command = [
        *(sys.executable, os.path.join(_ROOT, "export_model.py")),
        f"--checkpoint_dir={options.checkpoint_dir}",
        f"--export_path={os.path.join(folder, 'net.pb')}",
        f"--format={','.join(formats)}",
        *(f"--crop_size={options.crop}", f"--crop_size={options.crop}"),
        f"--representative_images={_draw(os.path.join(folder, 'images'), options.crop)}",
        # The speed of int8 does not depend on the images; its accuracy is not measured here.
        "--int8_label_agreement=0",
    ]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise UserError("the export failed; see the messages above.")
    with open(os.path.join(folder, "net.json"), encoding="utf-8") as file:
        artifacts = json.load(file)["artifacts"]
    for name in set(_openers()) - set(artifacts) - set(missing):
        missing[name] = "the converter of this TensorFlow does not support it."
    return artifacts, missing


def _draw(folder: str, size: int) -> str:
    """Writes drawn scenes, which calibrate int8."""
    os.makedirs(folder)
    random = np.random.RandomState(0)
    for number in range(_CALIBRATION_IMAGES):
        image = synthetic_scenes.draw(random, 0.3, (size, size))[0]
        Image.fromarray(image).save(os.path.join(folder, f"{number}.png"))
    return folder


def _measure(options: ExportLatencyOptions, folder: str, artifacts: dict) -> list:
    """Returns the figures, the bare network first."""
    with Image.open(os.path.join(folder, "images", "0.png")) as file:
        image = np.asarray(file)
    with contextlib.ExitStack() as stack:
        runs = dict(stack.enter_context(_checkpoint(options, image)))
        for name, opened in _openers().items():
            if name in artifacts:
                path = os.path.join(folder, artifacts[name]["file"])
                run = stack.enter_context(opened(path))
                runs[name] = lambda run=run: run(image)
        functions = {name: _repeated(run, options.images) for name, run in runs.items()}
        seconds = runner.interleaved(functions, options.repetitions)
    return [
        Row(
            name,
            "ms",
            tuple(1000.0 * value / options.images for value in values),
            {
                "threads": 1 if name.startswith("tflite") else options.cores,
                "MB": artifacts[name]["bytes"] / 1e6 if name in artifacts else "",
            },
        )
        for name, values in seconds.items()
    ]


def _repeated(run, times: int):
    def repeat():
        for _ in range(times):
            run()

    return repeat


@contextlib.contextmanager
def _checkpoint(options: ExportLatencyOptions, image: np.ndarray):
    """Yields functions that run the checkpoint: to logits only, and from image to labels."""
    exported = _network(options)
    prefix = checkpoint.find_all(options.checkpoint_dir)[-1]
    config = backends.create(DeviceOptions(device="cpu")).session_config()
    with contextlib.ExitStack() as stack:
        with tf.Graph().as_default() as whole:
            inputs, *outputs = graph.build_live(exported)
            restore = checkpoint.restore_op(prefix, network.variables())
            live = stack.enter_context(tf.Session(graph=whole, config=config))
            live.run(restore)
        with tf.Graph().as_default() as part:
            # A variable, since TensorFlow would fold operations on constants.
            images = tf.Variable(tf.constant(image[np.newaxis], tf.float32), trainable=False)
            logits = network.build(
                images, exported.spec, exported.classes.count, crop_size=exported.crop_size
            ).logits
            restore = checkpoint.restore_op(prefix, network.variables())
            bare = stack.enter_context(tf.Session(graph=part, config=config))
            bare.run([images.initializer, restore])
        yield {
            _BARE: lambda: bare.run(logits.op),
            "checkpoint": lambda: live.run(outputs, {inputs: image[np.newaxis]}),
        }


def _network(options: ExportLatencyOptions):
    """Returns the network of the checkpoint as it was exported."""
    saved = saved_options.load(options.checkpoint_dir)
    spec = saved_options.join(Config.create(NETWORK_OPTIONS, {}), saved).spec
    return Network(
        spec=spec,
        classes=ClassSet.from_dict(saved.run),
        crop_size=(options.crop, options.crop),
        averaging=Averaging(),
        pad_color=network.pad_color(spec),
        resize=None,
    )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)

"""TFLite: a float32, a float16 and a full-integer file, for the crop size."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

import numpy as np
from absl import logging

from core.export import graph
from core.export.artifact import (
    EXACT,
    INPUT,
    LABELS,
    PROBABILITIES,
    Artifact,
    Format,
    Job,
    Tolerance,
    outputs_of,
    tensor,
)
from options.export import ExportOptions
from utils.compat import has_new_tflite_converter, tf
from utils.errors import OptionError, UserError, reason_of

# Half-precision weights; arithmetic is float32 on CPU.
_FLOAT16 = Tolerance(0.25, 0.99)


def check_available(options: ExportOptions):
    """Raises OptionError if a full-integer file is wanted that cannot be written here."""
    if options.representative_images and not has_new_tflite_converter():
        raise OptionError(
            f"--representative_images: TensorFlow {tf.__version__} has no 8-bit form of every "
            "operation of these networks; export on TensorFlow 2, or leave the flag out."
        )


def write(job: Job) -> list:
    """Writes the files, the full-integer one only with calibration images."""
    float_graph = f"{job.base}.fixed.pb"
    dtype = tf.uint8 if has_new_tflite_converter() else tf.float32
    graph.save(graph.fixed(job.frozen, job.network, dtype), float_graph)
    try:
        artifacts = [
            _write(job, "tflite", f"{job.base}.tflite", _converter(float_graph), EXACT),
            _write(
                job, "tflite_float16", f"{job.base}_float16.tflite", _half(float_graph), _FLOAT16
            ),
        ]
    finally:
        os.remove(float_graph)
    name = f"{os.path.basename(job.base)}_int8.tflite"
    if job.representative is None:
        logging.warning(
            "%s is not written: it needs --representative_images or --dataset_dir.", name
        )
        return artifacts
    if not has_new_tflite_converter():
        logging.warning("%s is not written: it needs TensorFlow 2.", name)
        return artifacts
    return [*artifacts, _write_int8(job)]


def _write_int8(job: Job) -> Artifact:
    # The converter quantizes a float input, so that pixel values become the integers.
    path = f"{job.base}.float_input.pb"
    graph.save(graph.fixed(job.frozen, job.network, tf.float32), path)
    try:
        converter = _integer(path, job.representative)
        tolerance = Tolerance(None, job.options.int8_label_agreement)
        return _write(job, "tflite_int8", f"{job.base}_int8.tflite", converter, tolerance)
    finally:
        os.remove(path)


def _converter(path: str):
    return tf.lite.TFLiteConverter.from_frozen_graph(path, [INPUT], [LABELS, PROBABILITIES])


def _half(path: str):
    converter = _converter(path)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter


def _integer(path: str, images):
    converter = _converter(path)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32
    converter.representative_dataset = lambda: (
        [image[np.newaxis].astype(np.float32)] for image in _with_full_range(images)
    )
    return converter


def _with_full_range(images):
    """Yields the images; the first gets the values 0 and 255, which makes the input scale 1."""
    first = images[0].copy()
    first[0, 0], first[0, 1] = 0, 255
    yield first
    yield from images[1:]


def _write(job: Job, name: str, path: str, converter, tolerance: Tolerance) -> Artifact:
    try:
        with _programs_on_path():
            content = converter.convert()
    # The converter raises many kinds of errors (its own, ValueError, RuntimeError...).
    except Exception as error:
        reason = reason_of(error)
        raise UserError(
            f"TensorFlow {tf.__version__} cannot convert the network to {name} ({reason}); use a "
            "newer TensorFlow, or leave tflite out of --format."
        ) from error
    with open(path, "wb") as file:
        file.write(content)
    height, width = job.network.crop_size
    inputs = {INPUT: tensor(_input_dtype(path), 1, height, width, 3)}
    outputs = outputs_of(job.network, 1, height, width)
    return Artifact(name, path, tolerance, lambda: opened(path), inputs, outputs)


@contextlib.contextmanager
def _programs_on_path():
    """Lets TF 1.15 find its converter, a program beside Python's, in an unactivated environment."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _load(path: str):
    with warnings.catch_warnings():
        # TF 2.21 recommends a package that older versions do not have.
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_path=path)
    interpreter.allocate_tensors()
    return interpreter


def _input_dtype(path: str) -> str:
    """Returns the type of the images; values are 0..255 in either.

    Raises:
      UserError: If integers would not stand for their own values.
    """
    detail = _load(path).get_input_details()[0]
    if detail["dtype"] is np.uint8 and detail["quantization"] not in ((0.0, 0), (1.0, 0)):
        raise UserError(
            f"TensorFlow {tf.__version__} gives the input of {os.path.basename(path)} the scale "
            f"{detail['quantization']}, but it must be 1; leave tflite out of --format."
        )
    return np.dtype(detail["dtype"]).name


@contextlib.contextmanager
def opened(path: str):
    """Loads a TFLite file; yields a function from an image of its size to the results."""
    interpreter = _load(path)
    image_input = interpreter.get_input_details()[0]
    # By type, since not every version keeps the names of outputs: labels are integers.
    outputs = sorted(
        interpreter.get_output_details(),
        key=lambda detail: np.issubdtype(detail["dtype"], np.integer),
        reverse=True,
    )

    def run(image):
        interpreter.set_tensor(image_input["index"], image[np.newaxis].astype(image_input["dtype"]))
        interpreter.invoke()
        labels, probabilities = [interpreter.get_tensor(output["index"]) for output in outputs]
        return labels[0], probabilities[0]

    yield run


VARIANTS = {
    "tflite": Format(write, False, (".tflite", "_float16.tflite", "_int8.tflite"), check_available)
}

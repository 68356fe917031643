"""One training step of this project, run on request of `benchmarks.training_step`.

It is the graph that `train_npu.py` trains, with constant random images instead of records.
"""

from __future__ import annotations

import dataclasses

from absl import flags

import common
from benchmarks import networks, worker
from common import Options, option
from core import network
from core.training import step
from deployment import backend as backends
from options.config import Config
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS, TrainOptions
from utils.classes import ClassSet, default_names
from utils.compat import tf

NUM_CLASSES = 21


@dataclasses.dataclass(frozen=True)
class StepOptions(Options):
    """What is run."""

    crop: int = option(flags.DEFINE_integer, 257, "Height and width of the images.", minimum=33)
    formulation: str | None = option(
        flags.DEFINE_string, None, "How convolutions are computed; unset: the device's default."
    )
    matrix_product: bool = option(
        flags.DEFINE_bool, False, "Run a product of two 2048x2048 matrices instead."
    )


OPTION_CLASSES = (StepOptions, *NETWORK_OPTIONS, *TRAINING_RECORDS, DeviceOptions)


def main(flag_values):
    """Builds the step and runs it on request."""
    options = common.from_flags(StepOptions, flag_values)
    backend = backends.create(common.from_flags(DeviceOptions, flag_values))
    with tf.Graph().as_default():
        if options.matrix_product:
            fetch, gflop = _matrix_product(), 2 * 2048**3 / 1e9
        else:
            fetch = _training_step(options, flag_values, backend)
            gflop = _training_gflop(options, flag_values)
        backend.start()
        config = backend.session_config(is_training=True)
        with tf.Session(backend.session_target, config=config) as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            session.run(fetch)
            worker.serve(
                lambda: session.run(fetch),
                {"gflop": gflop, "versions": f"TensorFlow {tf.__version__}"},
            )


def _training_step(options, flag_values, backend):
    config = Config.from_flags((*NETWORK_OPTIONS, *TRAINING_RECORDS), flag_values)
    shape = [config.train.train_batch_size, options.crop, options.crop]
    if options.formulation is not None:
        backend.formulation = options.formulation
    # Variables, since TensorFlow would fold operations on constants.
    images = tf.Variable(tf.random.uniform([*shape, 3], 0.0, 255.0), trainable=False)
    labels = tf.random.uniform([*shape, 1], 0, NUM_CLASSES, tf.int32)
    labels = tf.Variable(labels, trainable=False)
    return step.build(
        tf.identity(images),
        tf.identity(labels),
        config,
        classes=ClassSet(default_names(NUM_CLASSES)),
        backend=backend,
    ).train_op


def _training_gflop(options, flag_values) -> float:
    """Returns the operations of a step: 3 times the forward pass, 2 times for the first layer."""
    size = (options.crop, options.crop)
    batch_size = common.from_flags(TrainOptions, flag_values).train_batch_size
    with tf.Graph().as_default() as graph:
        images = tf.zeros([batch_size, *size, 3])
        spec = Config.from_flags(NETWORK_OPTIONS, flag_values).spec
        network.build(images, spec, NUM_CLASSES, crop_size=size)
        counts = [networks.operations_of(operation) for operation in graph.get_operations()]
    counts = [count for count in counts if count]
    return (3 * sum(counts) - counts[0]) / 1e9


def _matrix_product():
    left, right = [tf.Variable(tf.random.normal([2048, 2048])) for _ in range(2)]
    return tf.matmul(left, right).op


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)

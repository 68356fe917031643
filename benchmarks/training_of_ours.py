"""One step of this project, run on request of `training_step` and `architectures`.

It is the graph that `train_npu.py` trains, with constant random images instead of records, or the
network in inference up to logits in the size of the images.
"""

from __future__ import annotations

import dataclasses

from absl import flags

import common
from benchmarks import networks, worker
from common import Options, option
from core import layers, network
from core import task as tasks
from core.training import step
from deployment import backend as backends
from options.config import Config
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS
from utils.classes import MULTICLASS, TASKS, ClassSet, default_names
from utils.compat import tf


@dataclasses.dataclass(frozen=True)
class StepOptions(Options):
    """What is run."""

    image_size: tuple[int, ...] = option(
        flags.DEFINE_list, (257, 257), "Height,width of the images.", convert=int, length=2
    )
    num_classes: int = option(flags.DEFINE_integer, 21, "Classes.", minimum=1, maximum=255)
    class_task: str = option(
        flags.DEFINE_string, MULTICLASS, "What the classes mean.", choices=TASKS
    )
    inference: bool = option(flags.DEFINE_bool, False, "Run no training step but the network.")
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
            config = Config.from_flags((*NETWORK_OPTIONS, *TRAINING_RECORDS), flag_values)
            fetch = (_prediction if options.inference else _training_step)(options, config, backend)
            gflop = _gflop(options, config)
        backend.start()
        config = backend.session_config(is_training=True)
        with tf.Session(backend.session_target, config=config) as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            session.run(fetch)
            worker.serve(
                lambda: session.run(fetch),
                {
                    "gflop": gflop,
                    "parameters": sum(
                        variable.shape.num_elements() for variable in tf.trainable_variables()
                    ),
                    "versions": f"TensorFlow {tf.__version__}",
                },
            )


def _training_step(options, config, backend):
    if options.formulation is not None:
        backend.formulation = options.formulation
    classes = _classes(options)
    exclusive = tasks.of(classes).is_exclusive
    shape = [*_batch(options, config), 1 if exclusive else options.num_classes]
    labels = tf.random.uniform(shape, 0, options.num_classes if exclusive else 2, tf.int32)
    labels = tf.Variable(labels, trainable=False)
    return step.build(
        _images(options, config), tf.identity(labels), config, classes=classes, backend=backend
    ).train_op


def _prediction(options, config, unused_backend):
    logits = network.build(
        _images(options, config), config.spec, _channels(options), crop_size=options.image_size
    ).logits
    align_corners = network.architecture(config.spec).align_corners
    return layers.resize_bilinear(logits, options.image_size, align_corners).op


def _images(options, config):
    # A variable, since TensorFlow would fold operations on constants.
    shape = [*_batch(options, config), 3]
    return tf.identity(tf.Variable(tf.random.uniform(shape, 0.0, 255.0), trainable=False))


def _batch(options, config):
    return (config.train.train_batch_size, *options.image_size)


def _classes(options) -> ClassSet:
    return ClassSet(default_names(options.num_classes), task=options.class_task)


def _channels(options) -> int:
    return tasks.of(_classes(options)).channels(options.num_classes)


def _gflop(options, config) -> float:
    """Returns the operations of a forward pass; for a step 3 times those, 2 for the first layer."""
    with tf.Graph().as_default() as graph:
        images = tf.zeros([*_batch(options, config), 3])
        network.build(images, config.spec, _channels(options), crop_size=options.image_size)
        counts = [networks.operations_of(operation) for operation in graph.get_operations()]
    counts = [count for count in counts if count]
    return (sum(counts) if options.inference else 3 * sum(counts) - counts[0]) / 1e9


def _matrix_product():
    left, right = [tf.Variable(tf.random.normal([2048, 2048])) for _ in range(2)]
    return tf.matmul(left, right).op


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)

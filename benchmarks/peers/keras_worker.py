"""Runs a step of a network in Keras on request of `benchmarks.architectures`.

A network's file has `build(image_size, channels)`, which returns a Keras model that gives logits in
the size of the images. Training is `train_on_batch` of the compiled model, inference is its
`predict_on_batch`.
"""

from __future__ import annotations

import os

# Messages of the start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks import worker
from benchmarks.peers import arguments


def _training_step(options, model, images):
    exclusive = options.task != "multilabel"
    shape = [options.batch_size, *options.image_size, 1 if exclusive else options.num_classes]
    labels = np.random.randint(0, options.num_classes if exclusive else 2, shape, np.int32)
    losses = keras.losses
    loss = losses.BinaryCrossentropy(from_logits=True)
    if options.task == "multiclass":
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam()
    if options.optimizer == "momentum":
        optimizer = keras.optimizers.SGD(1e-4, momentum=0.9, weight_decay=options.weight_decay)
    model.compile(optimizer, loss, jit_compile=options.jit_compile)
    labels = keras.ops.convert_to_tensor(
        labels if options.task == "multiclass" else labels.astype(np.float32)
    )
    return lambda: model.train_on_batch(images, labels)


def _prediction(options, model, images):
    model.compile(jit_compile=options.jit_compile)
    return lambda: model.predict_on_batch(images)


def main():
    """Builds the step and runs it on request."""
    parser = arguments.parser(__doc__)
    parser.add_argument("--jit_compile", action="store_true")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = arguments.network(options).build(options.image_size, arguments.channels(options))
    parameters = sum(int(np.prod(one.shape)) for one in model.trainable_variables)
    images = keras.random.uniform([options.batch_size, *options.image_size, 3], 0.0, 255.0)
    make = _prediction if options.inference else _training_step
    function = make(options, model, images)
    function()
    worker.serve(function, {"parameters": parameters, "versions": f"Keras {keras.__version__}"})


if __name__ == "__main__":
    main()

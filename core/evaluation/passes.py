"""Two ways to predict a split and fetch the tensors of the measures, with one iterator.

One checkpoint over whole images is predicted and measured in one graph. Windows, several
checkpoints and what post-processing changes are predicted by `core.inference.predictor`, image by
image, and measured by the same operations. Either way the next batch is prepared and computed while
the results of the current one are accumulated.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
from typing import Callable

import numpy as np

from core import network
from core.checkpoints import restore as checkpoint
from core.inference import tta
from core.inference.predictor import Predictor
from core.task import Task
from deployment.backend import Backend
from options import averaging
from options.evaluation import EvalOptions
from utils.classes import ClassSet
from utils.compat import tf

# Pixels of a run, over all images, scales and mirrored images, up to which a second run beside it
# is worth its memory: small ones leave cores without work.
_SMALL_RUN = 4e6


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass over a split.

    Attributes:
      make_batches: Called in a graph, returns the tf.data.Dataset of this rank's batches.
      members: The networks, `core.inference.predictor.Member`s.
      task: The task.
      classes: The classes.
      options: Scales and flip.
      threshold: What a probability must exceed, one number or one for each channel.
      crop_size: (height, width) of the batches' images; None if they have their own sizes.
      windows: `core.inference.windows.Windows`, or None.
      backend: The started device.
      fetches: Maps a batch and its `Prediction` to the tensors to fetch.
      needs_probabilities: Whether these read probabilities.
      postprocess: Maps the predicted labels of an image to those that are measured, or None.
    """

    make_batches: Callable
    members: tuple
    task: Task
    classes: ClassSet
    options: EvalOptions
    threshold: float | tuple
    crop_size: tuple | None
    windows: object
    backend: Backend
    fetches: Callable
    needs_probabilities: bool
    postprocess: Callable | None = None

    @property
    def _network(self) -> dict:
        """Arguments that both ways of predicting share."""
        return {
            "num_classes": self.classes.count,
            "task": self.task,
            "threshold": self.threshold,
            "crop_size": self.crop_size,
            **dataclasses.asdict(averaging.of(self.options, self.options.eval_scales)),
        }

    @contextlib.contextmanager
    def opened(self):
        """Builds and restores; yields an iterator of the fetched values of the images, in order."""
        one_graph = self.windows is None and len(self.members) == 1 and self.postprocess is None
        way = self._one_graph if one_graph else self._with_predictor
        with way() as (fetch, measured, at_once):
            batches = _in_order(_ahead(fetch, at_once))
            yield (values for batch in batches for values in measured(batch))

    @contextlib.contextmanager
    def _one_graph(self):
        """Network and measures in the graph that reads the batches."""
        (member,) = self.members
        with tf.Graph().as_default() as graph:
            iterator, number, batch = self._numbered_batches()
            prediction = tta.predict(batch["image"], member.spec, **self._network)
            fetches = self.fetches(batch, prediction)
            restore = checkpoint.restore_op(
                member.checkpoint_path, network.variables(), averaged=member.averaged
            )
            graph.finalize()
            with self._session() as session:
                with checkpoint.reading(member.checkpoint_path):
                    session.run(restore)
                session.run(iterator.initializer)
                at_once = _runs_at_once(batch["image"], self.options, self.backend)
                yield lambda: session.run((number, fetches)), lambda values: [values], at_once

    @contextlib.contextmanager
    def _with_predictor(self):
        """Predicts each image of a batch outside of the graph that measures it."""
        predicts = Predictor(
            self.members,
            windows=self.windows,
            session_config=self.backend.session_config(),
            **self._network,
        )
        with predicts, tf.Graph().as_default() as graph:
            iterator, number, batch = self._numbered_batches()
            sample = {
                name: tf.placeholder(tensor.dtype, [1, *tensor.shape.as_list()[1:]])
                for name, tensor in batch.items()
            }
            count = self.classes.count
            probabilities = tf.placeholder(tf.float32, [1, None, None, self.task.channels(count)])
            labels = tf.placeholder(tf.int32, self.task.label_shape(1, None, None, count))
            fetches = self.fetches(sample, tta.Prediction(labels, probabilities))
            graph.finalize()
            with self._session() as session:
                session.run(iterator.initializer)

                def measured(batch):
                    for index in np.flatnonzero(batch["valid"]):
                        own = {name: values[index : index + 1] for name, values in batch.items()}
                        feeds = {sample[name]: own[name] for name in sample}
                        feeds[labels], found = self._predicted(predicts, own)
                        if found is not None:
                            feeds[probabilities] = found
                        yield session.run(fetches, feeds)

                yield lambda: session.run((number, batch)), measured, 1

    def _numbered_batches(self):
        """Returns the iterator, the number of a batch and its tensors."""
        # Runs side by side may end in another order than their batches have.
        numbered = tf.data.Dataset.zip(
            (tf.data.Dataset.range(np.iinfo(np.int64).max), self.make_batches())
        )
        iterator = tf.data.make_initializable_iterator(numbered)
        return (iterator, *iterator.get_next())

    def _session(self):
        return tf.Session(config=self.backend.session_config())

    def _predicted(self, predicts, own) -> tuple:
        """Returns labels and probabilities (or None) of a padded image, 0 in the padding."""
        padded = own["image"][0]
        height, width = own["height"][0], own["width"][0]
        image, probabilities = padded[:height, :width], None
        if self.needs_probabilities:
            probabilities = predicts.probabilities(image)
            labels = self.task.decide_array(probabilities, self.threshold)
            probabilities = _padded(probabilities, padded)
        else:
            labels = predicts.labels(image)
        if self.postprocess is not None:
            labels = self.postprocess(labels)
        return _padded(labels, padded), probabilities


def _padded(array, image):
    """Returns an array [h, w, ...] with zeros up to the size of an image, as a batch of one."""
    missing = [(0, whole - part) for whole, part in zip(image.shape[:2], array.shape)]
    missing += [(0, 0)] * (array.ndim - 2)
    return np.pad(array, missing, "constant")[np.newaxis]


def _runs_at_once(images, options, backend) -> int:
    """Returns how many batches are predicted side by side."""
    pixels = images.shape[:3].num_elements()
    if pixels is None:
        return 1
    return (
        backend.runs_at_once
        if pixels * averaging.of(options, options.eval_scales).cost <= _SMALL_RUN
        else 1
    )


def _ahead(fetch, at_once: int = 1):
    """Yields what a function returns until TensorFlow's data end, calling it ahead.

    Args:
      fetch: Raises OutOfRangeError at the end.
      at_once: How many calls run at the same time.
    """
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        calls = collections.deque(pool.submit(fetch) for _ in range(at_once))
        while calls:
            try:
                fetched = calls.popleft().result()
            except tf.errors.OutOfRangeError:
                continue
            calls.append(pool.submit(fetch))
            yield fetched


def _in_order(numbered):
    """Yields the values of (number, value) pairs by number from 0; a few may be out of place."""
    waiting, expected = {}, 0
    for number, value in numbered:
        waiting[number] = value
        while expected in waiting:
            yield waiting.pop(expected)
            expected += 1

"""Predicts images of any size with one or several checkpoints, outside of any graph.

For programs, for windows and for several checkpoints:

    member = Member("RUN/model.ckpt-30000", spec)
    with Predictor([member], num_classes=21, scales=(0.75, 1.0, 1.25), flip=True) as predictor:
        labels = predictor.labels(image)                # uint8 [h, w, 3] -> int32 [h, w]
        probabilities = predictor.probabilities(image)  # float32 [h, w, 21]

Every member has a graph and a session of its own, so that networks of different architectures can
be averaged: the result is the mean of their probabilities (`core.inference.merging`), all with the
same weight.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from core import network
from core.checkpoints import restore as checkpoint
from core.inference import tta
from core.inference.merging import merged
from core.inference.windows import Grid, Windows, blended_rows, stitched
from core.task import MULTICLASS, Task
from options.averaging import Averaging
from options.network import NetworkSpec
from utils import image_ops
from utils.compat import tf
from utils.errors import UserError

# Windows per run: more would only need more memory on a CPU.
_WINDOWS_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Member:
    """One network: the prefix of its checkpoint, its options, whether EMA weights are used."""

    checkpoint_path: str
    spec: NetworkSpec
    averaged: bool = False


class Predictor:
    """Predicts images with one checkpoint, or with the mean of several; a context manager."""

    def __init__(
        self,
        members,
        *,
        num_classes: int,
        task: Task = MULTICLASS,
        threshold=0.5,
        crop_size=None,
        windows: Windows | Grid | None = None,
        session_config=None,
        **averaging,
    ):
        """Builds the networks and restores their weights.

        Args:
          members: The networks, at least one; all predict the same classes.
          num_classes: Number of classes.
          task: Their task.
          threshold: What a probability must exceed, in tasks that have one.
          crop_size: (height, width) that images are padded to at the bottom and right, with the
            colour of each network; None takes each image at its own size. See `core.inference.tta`.
          windows: How images that are too large are cut, or all into a grid; None: never.
          session_config: From the backend.
          **averaging: Fields of `options.averaging.Averaging`: scales, flips, turns.

        Raises:
          OptionError: If a network cannot be built for them.
          UserError: If a checkpoint does not fit its network or the number of classes.
        """
        self._crop_size = crop_size
        self._windows = windows
        self._num_classes = num_classes
        self._task = task
        self._threshold = threshold
        self._average = Averaging(**averaging).average
        self._settings = {"task": task, "threshold": threshold, **averaging}
        self._networks = []
        try:
            for member in members:
                self._networks.append(self._open(member, session_config))
        except BaseException:
            self.close()
            raise

    def _open(self, member, session_config) -> _Network:
        check_classes(member, self._num_classes, task=self._task)
        window = None
        with tf.Graph().as_default() as graph:
            whole = self._end(member.spec, self._crop_size)
            if isinstance(self._windows, Windows):
                window = self._end(member.spec, self._windows.size)
            restore = checkpoint.restore_op(
                member.checkpoint_path, network.variables(), averaged=member.averaged
            )
            graph.finalize()
        session = tf.Session(graph=graph, config=session_config)
        built = _Network(session, whole, window, network.pad_color(member.spec))
        with checkpoint.reading(member.checkpoint_path):
            session.run(restore)
        return built

    def _end(self, spec, crop_size):
        """Returns (placeholder of images, prediction)."""
        size = (None, None) if crop_size is None else crop_size
        images = tf.placeholder(tf.float32, [None, *size, 3])
        return images, tta.predict(
            images, spec, self._num_classes, crop_size=crop_size, **self._settings
        )

    def probabilities(self, image) -> np.ndarray:
        """Returns float32 [h, w, channels] of an image [h, w, 3] in 0..255, at its size.

        Raises:
          UserError: If the image is larger than `crop_size`, and windows are not used.
        """
        return np.concatenate(list(self._rows(image)))

    def labels(self, image) -> np.ndarray:
        """Returns the labels of an image, int32, [h, w] or [h, w, classes]; see `probabilities`."""
        image = self._checked(image)
        if len(self._networks) == 1 and not self._cuts(image):
            # The device decides faster, and without the probabilities where it can.
            return next(self._networks[0].whole(image, self._crop_size, "labels"))
        return np.concatenate(
            [self._task.decide_array(rows, self._threshold) for rows in self._rows(image)]
        )

    def _rows(self, image):
        """Yields the mean of the networks' probabilities from top to bottom."""
        image = self._checked(image)
        if self._cuts(image):
            parts = [network.in_windows(image, self._windows) for network in self._networks]
        else:
            parts = [network.whole(image, self._crop_size) for network in self._networks]
        for rows in zip(*parts):
            yield merged(rows, self._average, self._task)

    def _cuts(self, image) -> bool:
        return self._windows is not None and self._windows.needed_for(*image.shape[:2])

    def _checked(self, image):
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image has shape [h, w, 3], this one {list(image.shape)}.")
        size, crop = image.shape[:2], self._crop_size
        too_large = crop is not None and (size[0] > crop[0] or size[1] > crop[1])
        if too_large and not self._cuts(image):
            raise UserError(
                f"an image of {size[0]}x{size[1]} (height x width) is larger than the crop of "
                f"{crop[0]}x{crop[1]}; predict it at its own size or in windows."
            )
        return image

    def close(self):
        """Frees the sessions; calling it again does nothing."""
        while self._networks:
            self._networks.pop().session.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        self.close()


@dataclasses.dataclass(frozen=True)
class _Network:
    """A restored network: its session, and (images, prediction) for whole images and windows."""

    session: tf.Session
    image_end: tuple
    window_end: tuple | None
    pad_color: tuple

    def whole(self, image, crop_size, what="probabilities"):
        """Yields the probabilities, or the labels, of an image, all at once."""
        height, width = image.shape[:2]
        if crop_size is not None:
            image = image_ops.pad_array(image, crop_size, self.pad_color)
        yield self._run(self.image_end, image[np.newaxis], what)[0, :height, :width]

    def in_windows(self, image, windows):
        """Yields the probabilities of an image from top to bottom; of a grid all at once."""
        if isinstance(windows, Grid):
            yield stitched(image, windows, lambda cell: next(self.whole(cell, None)))
            return

        def run(parts):
            batches = np.split(parts, range(_WINDOWS_AT_ONCE, len(parts), _WINDOWS_AT_ONCE))
            return np.concatenate([self._run(self.window_end, batch) for batch in batches])

        yield from blended_rows(image, windows, self.pad_color, run)

    def _run(self, end, images, what="probabilities"):
        placeholder, prediction = end
        return self.session.run(getattr(prediction, what), {placeholder: images})


def check_classes(
    member: Member, num_classes: int, whose: str = "the data set", task: Task = MULTICLASS
):
    """Raises UserError if a checkpoint's classifier is for another number of classes.

    Args:
      member: The checkpoint and its network.
      num_classes: The number it must have.
      whose: The owner of that number, for the message.
      task: The task of the classes.
    """
    path = member.checkpoint_path
    held = checkpoint.num_outputs(path, network.architecture(member.spec).classifier)
    if held is not None and held != task.channels(num_classes):
        raise UserError(
            f"checkpoint {path} has {held} outputs per pixel, but {whose} has {num_classes} "
            f"classes ({task.name}), which take {task.channels(num_classes)}; pass the data set "
            "and --task that it was trained with, or fix the class count in dataset.json or "
            "--num_classes."
        )

"""One pass of a checkpoint over a split: predictions, and one confusion matrix over all of them.

Nothing here knows files of results; `core/results.py` writes what is returned.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from absl import logging

from core import checkpoint, metrics, predict, predictor, train
from core.options import EvalOptions, ModelOptions
from core.samples import Samples
from deployment.backend import Backend
from utils import pictures
from utils.compat import tf
from utils.errors import UserError
from utils.log import Progress

# Longest side of a picture in the report: sharp on a desk, small in the file.
_PICTURE_SIDE = 400


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
      confusion: int64 [classes, classes], rows are labels, columns predictions.
      num_images: Images that were counted, each once.
      samples: (title, samples) groups of images to look at, worst first; empty without a report.
      checkpoint: Prefix of the checkpoint.
      step: Its global step, None if it holds none.
      seconds: Time of the pass over the split, without building and restoring.
    """

    confusion: np.ndarray
    num_images: int
    samples: tuple
    checkpoint: str
    step: int | None
    seconds: float


def run(
    make_batches,
    *,
    checkpoint_path: str,
    model_options: ModelOptions,
    options: EvalOptions,
    crop_size,
    info,
    backend: Backend,
    num_images: int | None = None,
) -> Result:
    """Evaluates a checkpoint.

    Args:
      make_batches: Called in the graph of the evaluation, returns a tf.data.Dataset of batches
        {image, label, name, height, width, valid} that covers this rank's share of the split once.
      checkpoint_path: Prefix of the checkpoint.
      model_options: The network.
      options: Scales and flip, and whether pictures are kept.
      crop_size: (height, width) of the batches' images.
      info: The data set: name, num_classes, class_names, colors, ignore_label.
      backend: The started device.
      num_images: Images that the split must have over all ranks, if known.

    Raises:
      UserError: If the checkpoint or the data is not as it must be.
    """
    predictor.check_classes(checkpoint_path, info.num_classes, f"data set {info.name}")
    step = checkpoint.step_of(checkpoint_path)
    with tf.Graph().as_default() as graph:
        iterator = tf.data.make_initializable_iterator(make_batches())
        fetches = _build(iterator.get_next(), model_options, options, crop_size, info)
        restore = checkpoint.restore_op(checkpoint_path, train.network_variables())
        graph.finalize()
        with tf.Session(config=backend.session_config()) as session:
            with checkpoint.reading(checkpoint_path):
                session.run(restore)
            session.run(iterator.initializer)
            begin = time.time()
            confusion, counted, samples = _pass(session, fetches, info, num_images, backend.ranks)
            seconds = time.time() - begin
    confusion = backend.sum_over_ranks(confusion)
    counted = int(backend.sum_over_ranks(np.array(counted, np.int64)))
    _check_counted(confusion, counted, num_images, options.eval_split, info)
    return Result(confusion, counted, samples, checkpoint_path, step, seconds)


def _build(batch, model_options, options, crop_size, info) -> dict:
    """Returns the tensors to fetch for each batch."""
    predictions = predict.labels(
        batch["image"],
        model_options,
        info.num_classes,
        scales=options.eval_scales,
        flip=options.add_flipped_images,
        crop_size=crop_size,
    )
    labels = tf.squeeze(batch["label"], 3)
    counts = metrics.count(
        labels,
        predictions,
        num_classes=info.num_classes,
        ignore_label=info.ignore_label,
        heights=batch["height"],
        widths=batch["width"],
        valid=batch["valid"],
    )
    fetches = {name: batch[name] for name in ("name", "height", "width", "valid")}
    fetches["counts"] = counts
    if options.report:
        # As bytes: a quarter of the memory to copy.
        fetches["pictures"] = [
            tf.cast(tensor, tf.uint8) for tensor in (batch["image"], labels, predictions)
        ]
    return fetches


def _pass(session, fetches, info, num_images, ranks):
    """Goes over the split; returns the confusion matrix, the number of images and the samples."""
    confusion = np.zeros([info.num_classes, info.num_classes], np.int64)
    counted = 0
    samples = Samples(info.class_names)
    progress = Progress(None if num_images is None else -(-num_images // ranks))
    try:
        for batch in _batches(session, fetches):
            _check_labels(batch, info)
            for index in np.flatnonzero(batch["valid"]):
                counted += 1
                own = batch["counts"].confusion[index]
                confusion += own
                if "pictures" in batch:
                    name = batch["name"][index].decode("utf-8", "replace")
                    samples.add(name, own, _Drawing(batch, index, info))
            progress.update(counted, mIoU=metrics.mean_iou(confusion))
    finally:
        progress.close()
    return confusion, counted, samples.groups()


def _batches(session, fetches):
    while True:
        try:
            yield session.run(fetches)
        except tf.errors.OutOfRangeError:
            return


def _check_labels(batch, info):
    """Raises UserError naming the first image with a label that is no class."""
    for index in np.flatnonzero(batch["counts"].bad_pixels):
        raise UserError(
            f"image {batch['name'][index].decode('utf-8', 'replace')} has "
            f"{batch['counts'].bad_pixels[index]} pixels whose label is no class, such as "
            f"{batch['counts'].bad_label[index]}; data set {info.name} has classes 0 to "
            f"{info.num_classes - 1} and ignore label {info.ignore_label}. Mend the mask, or the "
            "classes in dataset.json."
        )


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """Draws the pictures of one image of a batch when it is called."""

    batch: dict
    index: int
    info: object

    def __call__(self) -> pictures.Panels:
        height, width = (self.batch[side][self.index] for side in ("height", "width"))
        image, labels, predictions = (
            pixels[self.index, :height, :width] for pixels in self.batch["pictures"]
        )
        return pictures.panels(
            image,
            labels,
            predictions,
            colors=self.info.colors,
            ignore_label=self.info.ignore_label,
            longest_side=_PICTURE_SIDE,
        )


def _check_counted(confusion, counted, num_images, split, info):
    """Raises UserError if the pass did not measure what it should."""
    if num_images is not None and counted != num_images:
        raise UserError(
            f"split {split} of {info.name} should have {num_images} images, but {counted} were "
            "read; a shard is missing or damaged, convert the data again."
        )
    if not confusion.sum():
        raise UserError(
            f"no pixel of the {counted} images in split {split} of {info.name} has a label other "
            f"than {info.ignore_label}; nothing can be measured without labels."
        )
    missing = int((confusion.sum(axis=1) == 0).sum())
    if missing:
        logging.info("%d of %d classes have no label in split %s.", missing, len(confusion), split)

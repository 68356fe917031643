"""One pass of a checkpoint over a split: predictions, and one confusion matrix over all of them.

One checkpoint over whole images is predicted and counted in one graph. Windows and several
checkpoints are predicted by `core.inference.predictor`, image by image, and counted by the same
operations. Either way the next batch is prepared, and computed, while the results of one are
added up.

Nothing here knows files of results; `core/evaluation/results.py` writes what is returned.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import time

import numpy as np
from absl import logging

from core.checkpoints import restore as checkpoint
from core.evaluation.examples import Samples
from core.inference import predictor, tta
from core.inference.predictor import Member, Predictor
from core.metrics import boundary, calibration
from core.metrics import confusion as metrics
from core.training import step as train
from deployment.backend import Backend
from options.evaluation import EvalOptions
from options.network import NetworkSpec
from utils import pictures
from utils.compat import tf
from utils.errors import UserError
from utils.log import Progress

# Longest side of a picture in the report: sharp on a desk, small in the file.
_PICTURE_SIDE = 400
# Pixels of a run, over all images, scales and mirrored images, up to which a second run beside it
# is worth its memory: small ones leave cores without work.
_SMALL_RUN = 4e6


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
      confusion: int64 [classes, classes], rows are labels, columns predictions.
      num_images: Images that were counted, each once.
      samples: (title, samples) groups of images to look at, worst first; empty without a report.
      checkpoint: Prefix of the checkpoint, the first of several.
      step: Its global step, None if it holds none.
      seconds: Time of the pass over the split, without building and restoring.
      checkpoints: Prefixes of all checkpoints whose probabilities were averaged.
      boundary: From `boundary.scores`, None if it was not measured.
      calibration: From `calibration.scores`, None if it was not measured.
      processor_seconds: Time of all processors in the same pass.
    """

    confusion: np.ndarray
    num_images: int
    samples: tuple
    checkpoint: str
    step: int | None
    seconds: float
    checkpoints: tuple = ()
    boundary: dict | None = None
    calibration: dict | None = None
    processor_seconds: float = 0.0


def run(
    make_batches,
    *,
    checkpoint_path: str,
    spec: NetworkSpec,
    options: EvalOptions,
    crop_size,
    info,
    backend: Backend,
    num_images: int | None = None,
    windows=None,
    others: tuple = (),
) -> Result:
    """Evaluates a checkpoint.

    Args:
      make_batches: Called in the graph of the evaluation, returns a tf.data.Dataset of batches
        {image, label, name, height, width, valid} that covers this rank's share of the split once.
      checkpoint_path: Prefix of the checkpoint.
      spec: The network.
      options: Scales and flip, and what is measured beside the confusion matrix.
      crop_size: (height, width) of the batches' images; None if they have their own sizes.
      info: The data set: name, num_classes, class_names, colors, ignore_label.
      backend: The started device.
      num_images: Images that the split must have over all ranks, if known.
      windows: `Windows` of `core.inference` for images too large to be seen whole, or None.
      others: Further `Member`s of `core.inference.predictor` whose probabilities are averaged
        with this one's.

    Raises:
      UserError: If a checkpoint or the data is not as it must be.
    """
    members = (Member(checkpoint_path, spec, options.use_ema), *others)
    for member in members:
        predictor.check_classes(member.checkpoint_path, info.num_classes, f"data set {info.name}")
        if member.averaged:
            checkpoint.averages_of(member.checkpoint_path)
    one_graph = windows is None and not others
    open_pass = _pass_in_one_graph if one_graph else _pass_with_predictor
    totals = _Totals(info, options)
    progress = Progress(None if num_images is None else -(-num_images // backend.ranks))
    with open_pass(make_batches, members, options, crop_size, windows, info, backend) as batches:
        measured = _add_up(batches, totals, progress)
    totals.sum_over_ranks(backend)
    _check_counted(totals.confusion, totals.counted, num_images, options.eval_split, info)
    return Result(
        confusion=totals.confusion,
        num_images=totals.counted,
        checkpoint=checkpoint_path,
        step=checkpoint.step_of(checkpoint_path),
        checkpoints=tuple(member.checkpoint_path for member in members),
        **totals.further_scores(),
        **measured,
    )


def _add_up(batches, totals, progress) -> dict:
    """Adds the batches to the totals; returns the images to look at, and the times it took."""
    begin, processor = time.time(), time.process_time()
    try:
        for batch in batches:
            totals.add(batch)
            progress.update(totals.counted, mIoU=metrics.mean_iou(totals.confusion))
    finally:
        progress.close()
    return {
        "samples": totals.samples.groups(),
        "seconds": time.time() - begin,
        "processor_seconds": time.process_time() - processor,
    }


@contextlib.contextmanager
def _pass_in_one_graph(make_batches, members, options, crop_size, unused_windows, info, backend):
    """Gives an iterator of what was fetched for each batch; network and counting in one graph."""
    (member,) = members
    with tf.Graph().as_default() as graph:
        # Runs side by side may end in another order than their batches have.
        numbered = tf.data.Dataset.zip(
            (tf.data.Dataset.range(np.iinfo(np.int64).max), make_batches())
        )
        iterator = tf.data.make_initializable_iterator(numbered)
        number, batch = iterator.get_next()
        prediction = tta.predict(
            batch["image"],
            member.spec,
            info.num_classes,
            scales=options.eval_scales,
            flip=options.add_flipped_images,
            crop_size=crop_size,
        )
        confidences = None
        if options.calibration_bins:
            confidences = tf.reduce_max(prediction.probabilities, axis=3)
        fetches = _fetches(batch, prediction.labels, confidences, options, info)
        restore = checkpoint.restore_op(
            member.checkpoint_path, train.network_variables(), averaged=member.averaged
        )
        graph.finalize()
        with tf.Session(config=backend.session_config()) as session:
            with checkpoint.reading(member.checkpoint_path):
                session.run(restore)
            session.run(iterator.initializer)
            at_once = _runs_at_once(batch["image"], options, backend)
            fetched = _ahead(lambda: session.run((number, fetches)), at_once)
            yield _in_order(fetched)


@contextlib.contextmanager
def _pass_with_predictor(make_batches, members, options, crop_size, windows, info, backend):
    """Gives the same for windows and several checkpoints, one image at a time."""
    settings = {
        "num_classes": info.num_classes,
        "scales": options.eval_scales,
        "flip": options.add_flipped_images,
        "crop_size": crop_size,
        "windows": windows,
        "session_config": backend.session_config(),
    }
    with Predictor(members, **settings) as predicts, tf.Graph().as_default() as graph:
        iterator = tf.data.make_initializable_iterator(make_batches())
        next_batch = iterator.get_next()
        sample = {
            name: tf.placeholder(tensor.dtype, [1, *tensor.shape.as_list()[1:]])
            for name, tensor in next_batch.items()
        }
        labels = tf.placeholder(tf.int32, [1, None, None])
        confidences = tf.placeholder(tf.float32, [1, None, None])
        fetches = _fetches(sample, labels, confidences, options, info)
        graph.finalize()
        with tf.Session(config=backend.session_config()) as session:
            session.run(iterator.initializer)

            def measured():
                for batch in _ahead(lambda: session.run(next_batch)):
                    for index in np.flatnonzero(batch["valid"]):
                        own = {name: values[index : index + 1] for name, values in batch.items()}
                        size = own["height"][0], own["width"][0]
                        outputs = _predicted(predicts, own["image"][0], size, options)
                        feeds = dict(zip((labels, confidences), outputs))
                        feeds.update((sample[name], own[name]) for name in sample)
                        yield session.run(fetches, feeds)

            yield measured()


def _predicted(predicts, padded, size, options) -> tuple:
    """Returns labels and confidences [1, h, w] of a padded image [h, w, 3]; 0 in the padding."""
    image = padded[: size[0], : size[1]]
    if options.calibration_bins:
        probabilities = predicts.probabilities(image)
        outputs = probabilities.argmax(2), probabilities.max(2)
    else:
        outputs = predicts.labels(image), np.zeros(size, np.float32)
    missing = [(0, whole - part) for whole, part in zip(padded.shape, size)]
    return tuple(np.pad(output, missing, "constant")[np.newaxis] for output in outputs)


def _runs_at_once(images, options, backend) -> int:
    """Returns how many batches are predicted side by side."""
    pixels = images.shape[:3].num_elements()
    if pixels is None:
        return 1
    per_pixel = sum(scale**2 for scale in options.eval_scales) * (1 + options.add_flipped_images)
    return backend.runs_at_once if pixels * per_pixel <= _SMALL_RUN else 1


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


def _fetches(batch, predictions, confidences, options, info) -> dict:
    """Returns the tensors to fetch for each batch."""
    labels = tf.squeeze(batch["label"], 3)
    sizes = {"heights": batch["height"], "widths": batch["width"]}
    counts = metrics.count(
        labels,
        predictions,
        num_classes=info.num_classes,
        ignore_label=info.ignore_label,
        valid=batch["valid"],
        **sizes,
    )
    fetches = {name: batch[name] for name in ("name", "height", "width", "valid")}
    for name in ("confusion", "bad_pixels", "bad_label"):
        fetches[name] = getattr(counts, name)
    if options.boundary_width:
        fetches["boundary"] = boundary.count(
            labels,
            predictions,
            counts.counted,
            num_classes=info.num_classes,
            width=options.boundary_width,
            **sizes,
        )
    if options.calibration_bins:
        fetches["calibration"] = calibration.count(
            labels, predictions, confidences, counts.counted, bins=options.calibration_bins
        )
    if options.report:
        # Few bits a pixel: all images are copied, though only a few are kept.
        ids = tf.uint8 if info.num_classes <= 256 else tf.int32
        fetches["pictures"] = [
            tf.cast(batch["image"], tf.uint8),
            tf.cast(labels, ids),
            tf.cast(predictions, ids),
        ]
    return fetches


class _Totals:
    """Adds up what was fetched."""

    def __init__(self, info, options):
        self._info = info
        self._options = options
        self.confusion = np.zeros([info.num_classes, info.num_classes], np.int64)
        self.counted = 0
        self.samples = Samples(info.class_names)
        self._boundary = boundary.Totals(info.num_classes)
        self._calibration = np.zeros([3, options.calibration_bins])

    def add(self, batch):
        """Adds the images of a batch that count."""
        _check_labels(batch, self._info)
        if "calibration" in batch:
            self._calibration += batch["calibration"]
        for index in np.flatnonzero(batch["valid"]):
            self.counted += 1
            own = batch["confusion"][index]
            self.confusion += own
            if "boundary" in batch:
                self._boundary.add(batch["boundary"], index)
            if "pictures" in batch:
                name = batch["name"][index].decode("utf-8", "replace")
                self.samples.add(name, own, _Drawing(batch, index, self._info))

    def sum_over_ranks(self, backend):
        """Makes the sums those of the whole split."""
        self.confusion = backend.sum_over_ranks(self.confusion)
        self.counted = int(backend.sum_over_ranks(np.array(self.counted, np.int64)))
        if self._options.boundary_width:
            self._boundary.sums = backend.sum_over_ranks(self._boundary.sums)
        if self._options.calibration_bins:
            self._calibration = backend.sum_over_ranks(self._calibration)

    def further_scores(self) -> dict:
        """Returns the scores of boundaries and calibration, None where not measured."""
        width, bins = self._options.boundary_width, self._options.calibration_bins
        return {
            "boundary": boundary.scores(self._boundary.sums, width) if width else None,
            "calibration": calibration.scores(self._calibration) if bins else None,
        }


def _check_labels(batch, info):
    """Raises UserError naming the first image with a label that is no class."""
    for index in np.flatnonzero(batch["bad_pixels"]):
        raise UserError(
            f"image {batch['name'][index].decode('utf-8', 'replace')} has "
            f"{batch['bad_pixels'][index]} pixels whose label is no class, such as "
            f"{batch['bad_label'][index]}; data set {info.name} has classes 0 to "
            f"{info.num_classes - 1} and ignore label {info.ignore_label}. Mend the mask, or the "
            "classes in dataset.json."
        )


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """Keeps one image of a batch when it is called, small; what that returns draws it."""

    batch: dict
    index: int
    info: object

    def __call__(self):
        height, width = (self.batch[side][self.index] for side in ("height", "width"))
        kept = pictures.shrunk(
            *(pixels[self.index, :height, :width] for pixels in self.batch["pictures"]),
            longest_side=_PICTURE_SIDE,
        )
        return functools.partial(
            pictures.panels, *kept, colors=self.info.colors, ignore_label=self.info.ignore_label
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

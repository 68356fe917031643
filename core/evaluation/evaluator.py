"""Evaluates a checkpoint on a split: accumulates all measures, and keeps example images.

Measures are found in `core/metrics/`; none is named here. `core/evaluation/passes.py` predicts,
`core/evaluation/results.py` writes the result.
"""

from __future__ import annotations

import dataclasses
import functools
import time

import numpy as np

import core.metrics
from core import task as tasks
from core.checkpoints import restore as checkpoint
from core.evaluation import examples
from core.evaluation.passes import Pass
from core.inference import predictor, steps
from core.inference.predictor import Member
from core.metrics import pixels
from deployment.backend import Backend
from options.evaluation import EvalOptions
from options.network import NetworkSpec
from utils import variants
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError
from utils.log import Progress

# Name -> class of every measure; the folder is the registry.
MEASURES = variants.collect(core.metrics)
# What the monitor of one class begins with.
OF_A_CLASS = "iou/"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of an evaluation.

    Attributes:
      measures: The `core.metrics.Measure`s, those of the task first.
      num_images: Images that were counted, each once.
      samples: (title, samples) groups of images to look at, worst first; empty without a report.
      checkpoint: Prefix of the checkpoint, the first of several.
      step: Its global step, None if it holds none.
      seconds: Time of the pass over the split, without building and restoring.
      checkpoints: Prefixes of all checkpoints whose probabilities were averaged.
      processor_seconds: Time of all processors in the same pass.
    """

    measures: tuple
    num_images: int
    samples: tuple
    checkpoint: str
    step: int | None
    seconds: float
    checkpoints: tuple = ()
    processor_seconds: float = 0.0

    def scores(self) -> dict:
        """Returns the entries of `metrics.json`, those of the task first.

        Entries of measures that were not made are None.
        """
        found = {}
        for measure in self.measures:
            found.update(measure.scores())
        for measure in MEASURES.values():
            found = {**found, **{name: None for name in measure.entries if name not in found}}
        return found

    def headlines(self) -> tuple:
        """Returns the `Score`s to show first."""
        return tuple(score for measure in self.measures for score in measure.headlines())

    def columns(self) -> tuple:
        """Returns the `Column`s of the table of classes, shares last."""
        found = [column for measure in self.measures for column in measure.columns()]
        return tuple(sorted(found, key=lambda column: column.is_share))

    def score(self, name: str) -> float | None:
        """Returns a score by its key; `iou/CLASS` is the IoU of one class."""
        if name.startswith(OF_A_CLASS):
            classes = {entry["name"]: entry["iou"] for entry in self.scores()["classes"]}
            return classes[name[len(OF_A_CLASS) :]]
        return {score.key: score.value for score in self.headlines()}[name]

    def record(self) -> dict:
        """Returns the scores of an evaluation during training, as `metrics.jsonl` names them."""
        scores = self.scores()
        names = [*single_scores(scores), "iou_per_class"]
        return {f"eval_{name}": scores[name] for name in names}

    def problem(self) -> str | None:
        """Returns an obvious problem of the predictions, None if there is none."""
        return next(filter(None, (measure.problem() for measure in self.measures)), None)


def larger_is_better(name: str, classes: ClassSet, options: EvalOptions, others: dict) -> bool:
    """Returns whether a larger value of a score is better, of those that training may monitor.

    Args:
      name: The key of the score; `iou/CLASS` is the IoU of one class.
      classes: The classes and the task.
      options: What is measured.
      others: Name -> the same, of what is no score of an evaluation.

    Raises:
      OptionError: If an evaluation has no such score.
    """
    known = dict(others)
    for measure in create_measures(classes, options):
        known.update({score.key: score.larger_is_better for score in measure.headlines()})
        for entry in measure.scores().get("classes", ()):
            known[OF_A_CLASS + entry["name"]] = True
    return variants.lookup(known, name, "--monitor of this evaluation")


def single_scores(scores) -> list:
    """Returns the names of the single numbers among the entries of `metrics.json`."""
    names = [key for measure in MEASURES.values() for key in measure.keys]
    return [name for name in scores if name in names]


def create_measures(classes: ClassSet, options: EvalOptions) -> tuple:
    """Returns the measures of an evaluation, those of the task first, in its order.

    Raises:
      OptionError: If one cannot be measured for this task, or an option has no effect.
    """
    task = tasks.of(classes)
    if options.empty_images != EvalOptions.empty_images and not task.uses_threshold:
        raise OptionError(
            f"--empty_images={options.empty_images} has no effect with --task={task.name}, which "
            "has no scores per image; leave it out."
        )
    names = [*task.measures, *(name for name in MEASURES if name not in task.measures)]
    wanted = [MEASURES[name] for name in names if MEASURES[name].is_wanted(task, options)]
    return tuple(measure(task, classes, options) for measure in wanted)


def run(
    make_batches,
    *,
    checkpoint_path: str,
    spec: NetworkSpec,
    options: EvalOptions,
    crop_size,
    classes: ClassSet,
    backend: Backend,
    threshold=0.5,
    num_images: int | None = None,
    windows=None,
    others: tuple = (),
    is_part: bool = False,
) -> Result:
    """Evaluates a checkpoint.

    Args:
      make_batches: Called in the graph of the evaluation, returns a tf.data.Dataset of batches
        {image, label, name, height, width, valid} that covers this rank's share of the split once.
      checkpoint_path: Prefix of the checkpoint.
      spec: The network.
      options: Scales, flips, steps after the threshold, and what is measured.
      crop_size: (height, width) of the batches' images; None if they have their own sizes.
      classes: The classes and the task.
      backend: The started device.
      threshold: What a probability must exceed, in tasks that have one: one number, or one for
        each channel.
      num_images: Images that the split must have over all ranks, if known.
      windows: `Windows` of `core.inference` for images too large to be seen whole, or None.
      others: Further `Member`s of `core.inference.predictor` whose probabilities are averaged
        with this one's.
      is_part: Whether the batches are a part of the split, in which no pixel need have a label.

    Raises:
      OptionError: If the task has no such measure.
      UserError: If a checkpoint or the data is not as it must be.
    """
    members = (Member(checkpoint_path, spec, options.use_ema), *others)
    task = tasks.of(classes)
    for member in members:
        predictor.check_classes(member, classes.count, f"data set {classes.name}", task)
        if member.averaged:
            checkpoint.averages_of(member.checkpoint_path)
    totals = _Totals(create_measures(classes, options), classes, options.report)
    prepared = Pass(
        make_batches=make_batches,
        members=members,
        task=task,
        classes=classes,
        options=options,
        threshold=threshold,
        crop_size=crop_size,
        windows=windows,
        backend=backend,
        fetches=totals.fetches,
        needs_probabilities=any(measure.needs_probabilities for measure in totals.measures),
        postprocess=steps.create(options.postprocess, classes),
    )
    progress = Progress(None if num_images is None else -(-num_images // backend.ranks))
    with prepared.opened() as batches:
        times = _add_up(batches, totals, progress)
    totals.sum_over_ranks(backend)
    if not is_part:
        totals.check(num_images, options.eval_split)
    return Result(
        measures=totals.measures,
        num_images=totals.num_images,
        samples=totals.examples.groups(),
        checkpoint=checkpoint_path,
        step=checkpoint.step_of(checkpoint_path),
        checkpoints=tuple(member.checkpoint_path for member in members),
        **times,
    )


def _add_up(batches, totals, progress) -> dict:
    """Adds the batches to the totals; returns the times it took."""
    begin, processor = time.monotonic(), time.process_time()
    try:
        for batch in batches:
            totals.add(batch)
            progress.update(totals.num_images, **totals.measures[0].progress())
    finally:
        progress.close()
    return {
        "seconds": time.monotonic() - begin,
        "processor_seconds": time.process_time() - processor,
    }


class _Totals:
    """The fetches of each batch, and their sums over a split."""

    def __init__(self, measures: tuple, classes: ClassSet, report: bool):
        self.measures = measures
        self.examples = examples.Examples()
        self._classes = classes
        self._report = report
        # Images, and pixels (or labels) that count.
        self._counted = np.zeros([2], np.int64)

    @property
    def num_images(self) -> int:
        return int(self._counted[0])

    def fetches(self, batch, prediction) -> dict:
        """Returns the tensors to fetch of a batch."""
        known, bad = pixels.of_batch(batch, tasks.of(self._classes), self._classes)
        axes = list(range(1, known.counted.shape.ndims))
        fetches = {name: batch[name] for name in ("name", "height", "width", "valid")}
        fetches["bad"] = bad
        fetches["counted"] = tf.reduce_sum(tf.cast(known.counted, tf.int32), axis=axes)
        fetches["measures"] = [measure.fetches(known, prediction) for measure in self.measures]
        if self._report:
            fetches["pictures"] = examples.fetches(batch, known, prediction)
        return fetches

    def add(self, batch):
        """Adds the images of a batch that count."""
        self._check_labels(batch)
        for index in np.flatnonzero(batch["valid"]):
            self._counted += (1, batch["counted"][index])
            for measure, values in zip(self.measures, batch["measures"]):
                measure.add(values, index)
            if self._report:
                self._add_example(batch, index)

    def _add_example(self, batch, index):
        scores = (
            measure.image_score(values, index)
            for measure, values in zip(self.measures, batch["measures"])
        )
        size = batch["height"][index], batch["width"][index]
        self.examples.add(
            _name(batch, index),
            next((score for score in scores if score is not None), None),
            functools.partial(examples.drawing, batch["pictures"], index, size, self._classes),
        )

    def sum_over_ranks(self, backend):
        """Makes the sums those of the whole split."""
        self._counted = backend.sum_over_ranks(self._counted)
        for measure in self.measures:
            measure.sum_over_ranks(backend)

    def _check_labels(self, batch):
        """Raises UserError naming the first image with a label that is no class."""
        bad = batch["bad"]
        for index in np.flatnonzero(bad.pixels):
            raise UserError(
                f"image {_name(batch, index)} has {bad.pixels[index]} pixels whose label is no "
                f"class, such as {bad.label[index]}; data set {self._classes.name} has classes 0 "
                f"to {self._classes.count - 1} and ignore label {self._classes.ignore_label}. Fix "
                "the mask, or the classes in dataset.json."
            )

    def check(self, num_images: int | None, split: str):
        """Raises UserError if images are missing, or no pixel has a label."""
        name = self._classes.name
        if num_images is not None and self.num_images != num_images:
            raise UserError(
                f"split {split} of {name} should have {num_images} images, but {self.num_images} "
                "were read; a shard is missing or damaged, convert the data again."
            )
        if not self._counted[1]:
            raise UserError(
                f"no pixel of the {self.num_images} images in split {split} of {name} has a label "
                f"other than {self._classes.ignore_label}; nothing can be measured without labels."
            )


def _name(batch, index) -> str:
    return batch["name"][index].decode("utf-8", "replace")

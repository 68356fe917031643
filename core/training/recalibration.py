"""Moving averages of batch norm, computed anew as the exact statistics of a population.

In training they are an exponential average, while the weights change; so they lag behind, or in
short trainings still hold their initial values. Here the weights stand still, and the statistics of
all batches are summed: the mean over all values, and their variance, without weights that decay.
Batch norm itself uses the statistics of its batch meanwhile, as in training. Source: "PreciseBN",
arXiv 2105.07576, section 3. Dropout is off: it raises the variance that a later batch norm sees in
training only (arXiv 1801.05134).
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from core import layers, network
from core import task as tasks
from core.checkpoints import names, restore
from core.training import feeding, freezing
from deployment.backend import Backend
from options.config import Config
from options.training import TrainOptions
from utils.compat import tf
from utils.errors import OptionError, UserError
from utils.log import Progress

MEAN, VARIANCE = "moving_mean", "moving_variance"
_SHOWN = 5
# Least variance that a change of a mean is measured by.
_SMALLEST = 1e-12


class Population:
    """Count, mean and variance of all values of each channel of a layer, summed batch by batch.

    Sums are those of distances from the means, in double precision. Source: Chan, Golub, LeVeque,
    "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """

    def __init__(self):
        self.count = 0
        self.mean = self._squares = np.float64(0)

    def add(self, count: int, mean, variance):
        """Adds a batch.

        Args:
          count: Values of a channel.
          mean: [channels].
          variance: [channels], the mean square distance from the mean.
        """
        # A device's 32 bits do not hold the product of two counts.
        count = int(count)
        distance = np.asarray(mean, np.float64) - self.mean
        total = self.count + count
        self._squares = (
            self._squares
            + np.asarray(variance, np.float64) * count
            + distance**2 * (self.count * count / total)
        )
        self.mean = self.mean + distance * (count / total)
        self.count = total

    @property
    def variance(self):
        """The mean square distance from the mean, float64 [channels]."""
        return self._squares / self.count


class Change(NamedTuple):
    """How much the statistics of a layer changed, as means over its channels.

    Attributes:
      layer: Its scope.
      shift: Distance of the means, in standard deviations before.
      factor: Of the standard deviations, above 1 whatever the direction.
    """

    layer: str
    shift: float
    factor: float


@dataclasses.dataclass(frozen=True)
class Recalibrated:
    """The result.

    Attributes:
      tensors: Name -> array, all that the new checkpoint holds.
      changes: A `Change` for each layer.
      kept: Scopes of the layers that were left as they are.
      batches: Batches that were averaged.
      images: Images of each.
    """

    tensors: dict
    changes: tuple
    kept: tuple
    batches: int
    images: int

    def report(self) -> str:
        """Returns how much changed, as text."""
        shifts = [change.shift for change in self.changes]
        factors = [change.factor for change in self.changes]
        lines = [
            f"{len(self.changes)} batch norms over {self.batches} "
            f"{'batch' if self.batches == 1 else 'batches'} of {self.images} images"
            + (f"; {len(self.kept)} stay as they are" if self.kept else "")
            + ".",
            f"Means moved by {np.median(shifts):.3g} standard deviations in the median layer, "
            f"standard deviations by a factor of {np.median(factors):.3g}. Most changed:",
        ]
        ordered = sorted(self.changes, key=lambda one: one.shift + np.log(one.factor), reverse=True)
        lines += [
            f"  {change.layer}: means {change.shift:.3g} standard deviations, factor "
            f"{change.factor:.3g}"
            for change in ordered[:_SHOWN]
        ]
        return "\n".join(lines)


class _Use(NamedTuple):
    """One use of a batch norm in the graph: its statistics in a batch, as tensors."""

    layer: str
    count: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor


def recalibrate(
    path: str, config: Config, dataset, backend: Backend, *, keep, batches: int, averaged: bool
) -> Recalibrated:
    """Computes the statistics of a checkpoint's batch norms anew.

    Args:
      path: Prefix of the checkpoint.
      config: The network, the data and the batches of training.
      dataset: The opened data set.
      backend: The started device.
      keep: Patterns of the parts that stay as they are, as `freezing.Frozen` takes them.
      batches: Number of batches.
      averaged: Whether to use the EMA of the weights, and to write to the EMA of the statistics.

    Raises:
      OptionError: If a pattern matches nothing.
      UserError: If the checkpoint does not fit the network, or nothing is left to compute.
    """
    opened = restore.reader(path)
    with restore.reading(path):
        tensors = {name: opened.get_tensor(name) for name in opened.get_variable_to_shape_map()}
    with tf.Graph().as_default():
        uses, kept = _build(config, dataset, backend, keep)
        uses = [use for use in uses if f"{use.layer}/{MEAN}" in tensors]
        if not uses:
            raise UserError(f"{path}: no batch norm is left to recalibrate; see --keep.")
        load = restore.loader(_matched(path, config, tensors, averaged))
        with tf.Session(config=backend.session_config()) as session:
            session.run(tf.global_variables_initializer())
            load(session)
            session.run(tf.get_collection(tf.GraphKeys.TABLE_INITIALIZERS))
            populations = _summed(session, uses, batches)
    suffix = names.EMA_SUFFIX if averaged else ""
    changes = tuple(
        _replace(tensors, layer, population, suffix) for layer, population in populations.items()
    )
    return Recalibrated(tensors, changes, kept, batches, config.train.images_per_step)


def _build(config, dataset, backend, keep) -> tuple:
    """Builds the network on batches of training; returns the uses of batch norm and what stays."""
    iterator = tf.data.make_initializable_iterator(feeding.batches(config, dataset, backend, 0))
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    images, classes = iterator.get_next()["image"], dataset.classes
    architecture = network.architecture(config.spec)
    scope = network.backbone(config.spec.options).scope
    rules = {
        pattern: freezing.Frozen(TrainOptions(freeze=(pattern,)), scope, architecture, "keep")
        for pattern in keep
    }
    mode = layers.Mode(
        is_training=True,
        fine_tune_batch_norm=True,
        is_frozen=lambda name: any(rule.matches(name) for rule in rules.values()),
        device=layers.DeviceLayers(
            formulation=backend.formulation, dropout=lambda inputs, unused_keep_prob: inputs
        ),
    )
    channels = tasks.of(classes).channels(classes.count)
    network.build(images, config.spec, channels, mode, crop_size=images.shape.as_list()[1:3])
    uses = _uses()
    found = {use.layer for use in uses}
    means = [item.op.name for item in network.variables() if item.op.name.endswith(f"/{MEAN}")]
    for pattern, rule in rules.items():
        if not any(rule.matches(name) for name in means):
            raise OptionError(f"--keep={pattern} matches no batch norm.")
    layers_of_network = [name.rsplit("/", 1)[0] for name in means]
    return uses, tuple(layer for layer in layers_of_network if layer not in found)


def _uses() -> list:
    """Returns each use of a batch norm with batch statistics, in the order of the graph."""
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    found = []
    for of_mean, of_variance in zip(updates[::2], updates[1::2]):
        layer = of_mean.updated_variable.op.name.rsplit("/", 1)[0]
        count = tf.reduce_prod(tf.shape(of_mean.normalized)[:3])
        # The variance that an update gets is Bessel-corrected.
        corrected = tf.cast(count, tf.float32)
        variance = of_variance.statistic * ((corrected - 1.0) / corrected)
        found.append(_Use(layer, count, of_mean.statistic, variance))
    return found


def _matched(path, config, tensors, averaged) -> restore.Match:
    """Matches a checkpoint with the network; heads that only training has may be missing."""
    missing = tuple(
        scope
        for scope in network.architecture(config.spec).auxiliary_scopes
        if not any(re.match(scope, name) for name in tensors)
    )
    matched = restore.match(path, network.variables(), missing, averaged)
    matched.raise_if_unexpected("Pass the options of the checkpoint's network.")
    return matched


def _summed(session, uses, batches) -> dict:
    """Returns layer -> its `Population` over a number of batches."""
    populations = {use.layer: Population() for use in uses}
    progress = Progress(batches, "batches")
    for number in range(batches):
        for use, values in zip(uses, session.run([list(use[1:]) for use in uses])):
            populations[use.layer].add(*values)
        progress.update(number + 1)
    progress.close()
    return populations


def _replace(tensors, layer, population, suffix) -> Change:
    """Puts new statistics in the place of those of a layer; returns the change."""
    before = [
        tensors.get(f"{layer}/{part}{suffix}", tensors[f"{layer}/{part}"]).astype(np.float64)
        for part in (MEAN, VARIANCE)
    ]
    if not np.all(np.isfinite(population.variance)):
        raise UserError(
            f"the statistics of {layer} are not finite; the checkpoint or the data are damaged."
        )
    tensors[f"{layer}/{MEAN}{suffix}"] = population.mean.astype(np.float32)
    tensors[f"{layer}/{VARIANCE}{suffix}"] = population.variance.astype(np.float32)
    deviation = np.sqrt(np.maximum(before[1], _SMALLEST))
    ratio = np.sqrt(np.maximum(population.variance, _SMALLEST)) / deviation
    shift = np.mean(np.abs(population.mean - before[0]) / deviation)
    return Change(layer, float(shift), float(np.exp(np.mean(np.abs(np.log(ratio))))))

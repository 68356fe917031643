"""One training step as a graph: batches -> logits -> loss -> gradients -> update.

Nothing here knows sessions or files; `core/training/loop.py` runs what is built here.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

from core import layers, network
from core import task as tasks
from core.losses import Context, objective
from core.training import (
    ema,
    freezing,
    gradients,
    groups,
    nonfinite,
    plateau,
    rates,
    stopping,
    updates,
)
from core.training.optimizers import Settings
from deployment.backend import Backend
from options.config import Config
from utils.classes import ClassSet
from utils.compat import tf


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The tensors of a training step.

    Attributes:
      train_op: Runs one step: updates weights, moving averages and the global step.
      global_step: int64 scalar variable.
      learning_rate: float32 scalar, the rate of the current step.
      loss: float32 scalar, without regularization; the mean over ranks if the host runs the loop.
      reg_loss: float32 scalar, weight decay as a part of the loss.
      total_loss: float32 scalar, what is minimized.
      images: float32 [N, h, w, 3], the batches of the step.
      labels: The batches of the step, integers.
      logits: float32 [N, h, w, channels], the answer of the network.
      gradients: (gradient, variable) pairs of total_loss before clipping and multipliers.
      gradient_norm: float32 scalar, their norm.
      bad_step: The first step that was not finite.
      seconds: "input", "device" -> float64 scalar, seconds that steps took since the session was
        created; empty if they are not measured.
      plateau: Lowers the learning rate; None if nothing asks for it.
      votes: To stop early; None with a single rank, or if the device runs the loop.
    """

    train_op: tf.Operation
    global_step: tf.Variable
    learning_rate: tf.Tensor
    loss: tf.Tensor
    reg_loss: tf.Tensor
    total_loss: tf.Tensor
    images: tf.Tensor
    labels: tf.Tensor
    logits: tf.Tensor
    gradients: list
    gradient_norm: tf.Tensor | None = None
    bad_step: nonfinite.BadStep | None = None
    seconds: dict = dataclasses.field(default_factory=dict)
    plateau: plateau.Plateau | None = None
    votes: stopping.Votes | None = None

    @property
    def watched(self) -> list:
        """What hooks fetch in every run, scalars: losses, learning rate, the first bad step."""
        values = [self.loss, self.reg_loss, self.total_loss, self.learning_rate]
        return values if self.bad_step is None else [*values, self.bad_step]


def build(
    images: tf.Tensor,
    labels: tf.Tensor,
    config: Config,
    *,
    classes: ClassSet,
    backend: Backend,
    steps_per_epoch=None,
    learning_rate: Callable | None = None,
) -> TrainStep:
    """Builds the training graph in the default graph.

    Args:
      images: float32 [N, h, w, 3], 0..255, static shape; N holds all batches of a step.
      labels: The labels, as `core.task` describes them for each task.
      config: The network and its training.
      classes: The classes of the data, with their task.
      backend: The device; it averages gradients over ranks.
      steps_per_epoch: For schedules that count epochs, see `rates.learning_rate`.
      learning_rate: Function from the global step to the rate, a float32 scalar; None: the
        schedule's.

    Raises:
      OptionError: If a pattern of variable names matches nothing, or everything is frozen.
    """
    global_step = tf.train.get_or_create_global_step()
    on_plateau = None
    if learning_rate is None:
        rate = rates.learning_rate(config, global_step, steps_per_epoch)
        rate, on_plateau = plateau.lowered(rate, config.monitor)
    else:
        rate = learning_rate(global_step)
    spec = config.spec
    architecture = network.architecture(spec)
    frozen = freezing.Frozen(config.train, network.backbone(spec.options).scope, architecture)
    parts, logits = _forward(images, labels, config, classes, backend, frozen)
    variables = frozen.trained(tf.trainable_variables())
    frozen.report(tf.trainable_variables())
    loss = _mean([part.loss for part in parts])
    terms = _l2_terms(variables, config.optimizer)
    decoupled = config.optimizer.has_decoupled_decay
    settings = Settings(
        config.optimizer,
        rate,
        momentum=rates.momentum(config, global_step, steps_per_epoch),
        multipliers=groups.rate_multipliers(_trainable_names(), config.optimizer, architecture),
        decaying=frozenset(terms) if decoupled else frozenset(),
    )
    terms = {} if decoupled else terms
    reg_loss = tf.add_n(list(terms.values()) or [tf.constant(0.0)])

    optimizer = updates.create(settings)
    if len(parts) > 1:
        optimizer = gradients.GradientAccumulation(optimizer, parts)
    optimizer = backend.wrap_optimizer(optimizer)
    pairs = optimizer.compute_gradients(loss, variables)
    decays_after = config.optimizer.weight_decay_after_clipping
    pairs = pairs if decays_after else gradients.with_terms(pairs, terms)
    loss, gradient_norm, votes = _of_all_ranks(loss, gradients.global_norm(pairs), backend)
    clipped = gradients.clip(pairs, gradient_norm, config.optimizer)
    clipped = gradients.with_terms(clipped, terms) if decays_after else clipped
    step = TrainStep(
        train_op=None,
        global_step=global_step,
        learning_rate=rate,
        loss=loss,
        reg_loss=reg_loss,
        total_loss=loss + reg_loss,
        images=images,
        labels=labels,
        logits=_joined(logits),
        gradients=pairs,
        gradient_norm=gradient_norm,
        bad_step=None,
        plateau=on_plateau,
        votes=votes,
    )
    return _with_update(step, clipped, optimizer, config, backend, architecture)


def _forward(images, labels, config, classes, backend, frozen) -> tuple:
    """Builds the network for each batch of a step; returns the batches' losses and logits."""
    align_corners = network.architecture(config.spec).align_corners
    context = Context(config.loss, tf.train.get_global_step(), backend.average, align_corners)
    channels, mode = tasks.of(classes).channels(classes.count), _mode(config, backend, frozen)
    parts, logits = [], []
    for part_images, part_labels in zip(
        gradients.split(images, config.train.accumulate_batches),
        gradients.split(labels, config.train.accumulate_batches),
    ):
        outputs = network.build(
            part_images, config.spec, channels, mode, crop_size=part_images.shape.as_list()[1:3]
        )
        logits.append(outputs.logits)
        loss = objective.build(outputs.supervised, part_labels, classes, context)
        parts.append(gradients.Part(part_images, loss))
    return parts, logits


def _of_all_ranks(loss, gradient_norm, backend) -> tuple:
    """Returns loss and norm over all ranks, and the votes, if the host runs the loop."""
    if backend.ranks == 1 or backend.runs_loop_on_device():
        return loss, gradient_norm, None
    loss, votes = stopping.with_votes(loss, backend.average)
    # The sum over all weights may differ in its last bit between processors; what all ranks clip by
    # must not.
    (gradient_norm,) = backend.average([gradient_norm])
    return loss, gradient_norm, votes


def _mode(config, backend, frozen) -> layers.Mode:
    """Returns what the network is built for, and how the device computes it."""
    options = config.train
    device = layers.DeviceLayers(
        formulation=backend.formulation,
        dropout=backend.dropout,
        average=backend.average_with_gradient if options.sync_batch_norm else None,
        rank=backend.rank,
        ranks=backend.ranks,
    )
    return layers.Mode(
        is_training=True,
        fine_tune_batch_norm=options.fine_tune_batch_norm,
        weight_decay=config.optimizer.weight_decay,
        is_frozen=frozen.matches,
        frozen_batch_norm=options.frozen_batch_norm,
        recompute=options.gradient_checkpointing,
        device=device,
    )


def _mean(losses):
    return losses[0] if len(losses) == 1 else tf.add_n(losses) / len(losses)


def _joined(batches):
    return batches[0] if len(batches) == 1 else tf.concat(batches, 0)


def _l2_terms(variables, options) -> dict:
    """Returns variable name -> its L2 term, for those of the variables that decay."""
    # TensorFlow names a regularizer's result after its variable.
    kernels = {
        term.op.name.split("/Regularizer/")[0]: term
        for term in tf.losses.get_regularization_losses()
    }
    names = _trainable_names()
    decaying = groups.decaying(names, [name for name in names if name in kernels], options)
    return {
        variable.op.name: kernels[variable.op.name]
        if variable.op.name in kernels
        else layers.l2_regularizer(options.weight_decay)(variable)
        for variable in variables
        if variable.op.name in decaying
    }


def _trainable_names() -> list:
    """Returns the names of the trainable variables, frozen ones among them.

    A pattern may mean what --unfreeze_step is going to train.
    """
    return [variable.op.name for variable in tf.trainable_variables()]


def _with_update(step, clipped, optimizer, config, backend, architecture) -> TrainStep:
    """Returns the step with the operation that updates weights, averages and global step."""
    variables = [variable for _, variable in step.gradients]
    averaged = [*variables, *_moving_averages()] if config.train.ema_decay else []
    averages = ema.create(averaged)

    def apply():
        decay = ema.decay_at(step.global_step, config.train.ema_decay)
        with tf.control_dependencies([decay]):
            applied = optimizer.apply_gradients(
                groups.multiply_gradients(clipped, config.optimizer, architecture),
                global_step=step.global_step,
            )
        with tf.control_dependencies([applied]):
            return ema.update(averages, averaged, decay)

    # The moving averages of batch norm are part of the step; the losses are read before the weights
    # change, so the reported values are those of the step.
    before = tf.group(*_batch_norm_updates(config.train, backend), step.total_loss)
    with tf.control_dependencies([before]):
        values = {name: getattr(step, name) for name in nonfinite.REPORTED}
        # An optimizer with loss scaling skips steps whose gradients overflow.
        excused = ("gradient_norm",) if backend.skips_overflow else ()
        bad_step = nonfinite.record_bad_step(step.global_step, values, excused=excused)
    train_op = nonfinite.skip_update_if_nonfinite(
        bad_step, apply, can_branch=not backend.runs_loop_on_device()
    )
    return dataclasses.replace(step, train_op=train_op, bad_step=bad_step)


def _batch_norm_updates(options, backend) -> list:
    """Returns the operations that update the moving averages of batch norm, equally in all ranks.

    The update is linear in the batch statistics, so the mean of the averages over the ranks is the
    update with the mean of their statistics.
    """
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    if backend.ranks == 1 or backend.runs_loop_on_device() or options.sync_batch_norm:
        return updates
    moving = _moving_averages()
    with tf.control_dependencies(updates):
        means = backend.average([variable.read_value() for variable in moving])
    return [tf.assign(variable, mean).op for variable, mean in zip(moving, means)]


def _moving_averages() -> list:
    """Returns the moving averages of batch norm that training updates, without duplicates."""
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    return list(
        {update.updated_variable.op.name: update.updated_variable for update in updates}.values()
    )

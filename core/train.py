"""One training step as a graph: batch -> logits -> loss -> gradients -> update.

Nothing here knows sessions or files; `core/loop.py` runs what is built here.
"""

from __future__ import annotations

import dataclasses

from core import layers, model, optimizers, recompute, schedules
from core.losses import softmax_cross_entropy
from core.options import ModelOptions, TrainOptions
from deployment.backend import Backend
from utils.compat import slim, tf


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The tensors of a training step.

    Attributes:
      train_op: Runs one step: updates weights, moving averages and the global step.
      global_step: int64 scalar variable.
      learning_rate: float32 scalar, the rate of the step that is being made.
      loss: float32 scalar, without regularisation.
      reg_loss: float32 scalar, weight decay.
      total_loss: float32 scalar, what is minimised.
      images: float32 [N, h, w, 3], the batch.
      labels: int32 [N, h, w, 1], the batch.
      logits: Scale name -> [N, h, w, classes] float32; "merged" is the output.
      gradients: (gradient, variable) pairs of total_loss before the multipliers.
    """

    train_op: tf.Operation
    global_step: tf.Variable
    learning_rate: tf.Tensor
    loss: tf.Tensor
    reg_loss: tf.Tensor
    total_loss: tf.Tensor
    images: tf.Tensor
    labels: tf.Tensor
    logits: dict
    gradients: list


def build(
    images: tf.Tensor,
    labels: tf.Tensor,
    model_options: ModelOptions,
    options: TrainOptions,
    *,
    num_classes: int,
    ignore_label: int,
    backend: Backend,
) -> TrainStep:
    """Builds the training graph in the default graph.

    Args:
      images: float32 [N, h, w, 3], 0..255, static shape.
      labels: int32 [N, h, w, 1], class ids or ignore_label.
      model_options: The network.
      options: The training.
      num_classes: Number of classes.
      ignore_label: Label of pixels without loss.
      backend: The device; it averages gradients over ranks.
    """
    global_step = tf.train.get_or_create_global_step()
    with slim.arg_scope([layers.conv2d], formulation=backend.formulation), slim.arg_scope(
        [recompute.unit], recompute=options.gradient_checkpointing
    ), slim.arg_scope([layers.dropout], of_device=backend.dropout):
        logits = model.logits(
            images,
            model_options,
            num_classes,
            crop_size=images.shape.as_list()[1:3],
            is_training=True,
            fine_tune_batch_norm=options.fine_tune_batch_norm,
            weight_decay=options.weight_decay,
        )
    loss = softmax_cross_entropy.loss(
        logits,
        labels,
        num_classes=num_classes,
        ignore_label=ignore_label,
        label_weights=options.label_weights,
        upsample_logits=options.upsample_logits,
        hard_example_mining_step=options.hard_example_mining_step,
        top_k_percent_pixels=options.top_k_percent_pixels,
        global_step=global_step,
    )
    reg_loss = tf.add_n(tf.losses.get_regularization_losses() or [tf.constant(0.0)])
    total_loss = loss + reg_loss

    learning_rate = schedules.learning_rate(options, global_step)
    optimizer = backend.wrap_optimizer(optimizers.create(options, learning_rate))
    gradients = optimizer.compute_gradients(total_loss, tf.trainable_variables())
    multiplied = optimizers.multiply_gradients(gradients, options)
    # The moving averages of batch norm are part of the step; the losses are read before weights
    # change, so that the values reported are those of the step.
    before = [*tf.get_collection(tf.GraphKeys.UPDATE_OPS), total_loss]
    with tf.control_dependencies(before):
        train_op = optimizer.apply_gradients(multiplied, global_step=global_step)
    return TrainStep(
        train_op=train_op,
        global_step=global_step,
        learning_rate=learning_rate,
        loss=loss,
        reg_loss=reg_loss,
        total_loss=total_loss,
        images=images,
        labels=labels,
        logits=logits,
        gradients=gradients,
    )


def network_variables() -> list:
    """Returns the variables of the network, without the optimizer's and the global step."""
    return slim.get_model_variables()

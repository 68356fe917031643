"""What a training says before its first step: where it continues, its numbers, what looks wrong."""

from __future__ import annotations

from absl import logging

from core import network
from core.checkpoints import restore
from core.training import step as train
from options.network import NetworkSpec
from options.training import TrainOptions

# Share of the start in a moving average at the end of training that is worth a warning.
_STALE_PERCENT = 5.0


def start_step(resume_from: str | None, options: TrainOptions) -> int:
    """Returns the step that training starts or continues from, and says so.

    Args:
      resume_from: The checkpoint to continue from, None at the start.
      options: The training.
    """
    if resume_from is None:
        return 0
    step = restore.step_of(resume_from)
    if step >= options.training_number_of_steps:
        logging.info(
            "%s is at step %d already; pass a larger --training_number_of_steps to go on.",
            resume_from,
            step,
        )
    else:
        logging.info("Continuing from %s at step %d.", resume_from, step)
    return step


def describe(spec, options, info, run, backend):
    """Shows the numbers that follow from the options; call it where the graph is built.

    Args:
      spec: The network.
      options: The training.
      info: The data set.
      run: From `run_folder.describe_run`.
      backend: The started device.
    """
    parameters = sum(variable.shape.num_elements() for variable in train.network_variables())
    images_per_step = options.images_per_step * backend.ranks
    logging.info(
        "%s at output stride %d, %s parameters.",
        spec.options.model_variant,
        spec.options.output_stride,
        f"{parameters:,}",
    )
    logging.info(
        "%s: %d images of split %s, %d classes; %d steps of %d images are %.1f epochs.",
        info.name,
        run["num_images"],
        options.train_split,
        info.num_classes,
        options.training_number_of_steps,
        images_per_step,
        options.training_number_of_steps * images_per_step / run["num_images"],
    )
    logging.info(
        "Device %s; %s; commit %s.",
        backend.name,
        ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        run["commit"] or "unknown",
    )


def warn_of_batch_norm(spec: NetworkSpec, options: TrainOptions):
    """Warns of settings under which batch norm learns badly, silently."""
    if not options.fine_tune_batch_norm:
        return
    if options.train_batch_size < 8:
        logging.warning(
            "--train_batch_size=%d is small for batch norm; it learns well from 8 images on. With "
            "fewer, start from a trained network and pass --nofine_tune_batch_norm.",
            options.train_batch_size,
        )
    steps = options.training_number_of_steps
    head_left = 100 * spec.options.batch_norm_decay**steps
    if head_left > _STALE_PERCENT:
        logging.warning(
            "After %d steps the moving averages of the head still consist to %.0f %% of what they "
            "started with, so that evaluation will differ from training; pass a smaller "
            "--batch_norm_decay (such as 0.99) or train longer.",
            steps,
            head_left,
        )
    backbone_left = 100 * network.backbone(spec.options).batch_norm_decay ** steps
    is_new = options.tf_initial_checkpoint is None and "backbone" not in (options.freeze or ())
    if is_new and backbone_left > _STALE_PERCENT:
        logging.warning(
            "After %d steps the moving averages of %s still consist to %.0f %% of what they "
            "started with, so that evaluation will differ from training; start from a checkpoint, "
            "train longer, or take another backbone.",
            steps,
            spec.options.model_variant,
            backbone_left,
        )

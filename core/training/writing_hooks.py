"""The hooks of a run that write to its folder: logs, pictures, checkpoints."""

from __future__ import annotations

from core.training.hooks.log_images import LogImages
from core.training.hooks.log_training import LogTraining
from core.training.hooks.save_checkpoints import SaveCheckpoints
from core.training.step import TrainStep
from options.training import TrainOptions


def create(step: TrainStep, options: TrainOptions, info, run: dict) -> list:
    """Returns the hooks in the order in which they must be called, the one of the log first.

    Args:
      step: The step.
      options: The training.
      info: The data set: colors, ignore_label.
      run: Of `run_folder.describe_run`, with `images_per_step` of all ranks.
    """
    folder = options.train_logdir
    chosen = [
        LogTraining(
            folder,
            step,
            options,
            images_per_step=run["images_per_step"],
            num_images=run["num_images"],
        )
    ]
    if options.save_summaries_images:
        chosen.append(
            LogImages(
                folder,
                step,
                options.save_summaries_secs,
                colors=info.colors,
                ignore_label=info.ignore_label,
            )
        )
    if options.do_checkpoint:
        chosen.append(SaveCheckpoints(folder, step, options))
    return chosen

"""The options of a training run: steps, batches, checkpoints, logging."""

from __future__ import annotations

import dataclasses
import re

from absl import flags

from common import Options, option
from options.loss import LossOptions
from options.monitor import MonitorOptions
from options.optimizer import OptimizerOptions
from options.schedule import ScheduleOptions
from utils.errors import OptionError


def _check_expression(name: str, pattern: str):
    try:
        re.compile(pattern)
    except re.error as error:
        raise OptionError(
            f"--{name}={pattern} is not a regular expression ({error}); see Python's re module."
        ) from None


@dataclasses.dataclass(frozen=True)
class TrainOptions(Options):
    """Steps, batches, what is trained, checkpoints and logging."""

    SECTION = "train"

    train_logdir: str = option(
        flags.DEFINE_string,
        "resnet_101",
        "Folder of the run: checkpoints, logs, options.json.",
        changeable=True,
    )
    train_split: str = option(flags.DEFINE_string, "train", "Split to train on.")
    train_batch_size: int = option(
        flags.DEFINE_integer, 8, "Images per step and device.", minimum=1, maximum=1 << 16
    )
    training_number_of_steps: int = option(
        flags.DEFINE_integer, 30000, "Step at which training ends.", minimum=1, changeable=True
    )
    epochs: float = option(
        flags.DEFINE_float,
        0.0,
        "Passes over the training images after which training ends, instead of "
        "--training_number_of_steps; the last step is completed. 0: not used.",
        minimum=0.0,
        changeable=True,
    )
    iterations_per_loop: int = option(
        flags.DEFINE_integer,
        10,
        "Steps between returns to the host; saving and logging happen at these.",
        minimum=1,
        changeable=True,
    )
    accumulate_batches: int = option(
        flags.DEFINE_integer,
        1,
        "Gradient accumulation: batches of --train_batch_size images per step.",
        minimum=1,
    )
    ema_decay: float = option(
        flags.DEFINE_float,
        0.0,
        "Decay of the exponential moving average (EMA) of the weights, such as 0.999; evaluate it "
        "with --use_ema. 0: no EMA.",
        minimum=0.0,
    )
    freeze: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "What is not trained: backbone (or encoder), head, decoder, auxiliary (the head that only "
        "training has; its loss still trains what is below it), or a regular expression that "
        "matches the start of variable names; repeat the flag for more.",
    )
    frozen_batch_norm: str = option(
        flags.DEFINE_string,
        "inference",
        "Batch norm of what --freeze freezes. inference: moving averages are used. affine: the "
        "same, but gamma and beta are trained. statistics: batch statistics are used, and moving "
        "averages updated.",
        choices=("inference", "affine", "statistics"),
    )
    unfreeze_step: int = option(
        flags.DEFINE_integer,
        0,
        "Step from which on everything is trained, also what --freeze freezes; 0: never.",
        minimum=0,
    )
    fine_tune_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether batch norm uses and updates batch statistics (needs 8 or more images per device); "
        "that of frozen parts follows --frozen_batch_norm.",
    )
    sync_batch_norm: bool = option(
        flags.DEFINE_bool,
        False,
        "CPU and GPU, several ranks: whether batch statistics are computed over the images of all "
        "ranks.",
    )
    gradient_checkpointing: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether residual units are recomputed in the backward pass: less memory, more time.",
        changeable=True,
    )
    tf_initial_checkpoint: str | None = option(
        flags.DEFINE_string,
        None,
        "Weights to start from: a checkpoint, by its prefix, or a file of weights of another "
        "framework, such as PyTorch's or Keras'.",
        changeable=True,
    )
    init: str | None = option(
        flags.DEFINE_string,
        None,
        "Weights to start from, by name: NAME.* in weights/ or --weights_dir, where imagenet, "
        "coco_voc and pascal_voc stand for MODEL_VARIANT_imagenet and so on; random: none.",
        changeable=True,
    )
    weights_dir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of weights for --init; unset: that of the variable SEGMENTATION_WEIGHTS.",
        changeable=True,
    )
    initialize_last_layer: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether --tf_initial_checkpoint or --init initializes the head too (if it has one).",
    )
    recover_from_nan: int = option(
        flags.DEFINE_integer,
        0,
        "How many times a run may return to its last checkpoint and skip the failed batches when "
        "a loss or gradient is not finite.",
        minimum=0,
        changeable=True,
    )
    max_to_save: int = option(
        flags.DEFINE_integer, 5, "Number of newest checkpoints to keep.", minimum=1, changeable=True
    )
    do_checkpoint: bool = option(
        flags.DEFINE_bool, True, "Whether checkpoints are written.", changeable=True
    )
    save_checkpoints_steps: int = option(
        flags.DEFINE_integer, 500, "Steps between checkpoints.", minimum=1, changeable=True
    )
    save_interval_secs: int = option(
        flags.DEFINE_integer,
        1200,
        "Maximum seconds between checkpoints.",
        minimum=1,
        changeable=True,
    )
    milestone_steps: int = option(
        flags.DEFINE_integer,
        0,
        "Steps between checkpoints that are kept for good; 0: none.",
        minimum=0,
        changeable=True,
    )
    eval_interval_steps: int = option(
        flags.DEFINE_integer,
        0,
        "Steps between evaluations on --eval_split during training; the best checkpoint is kept "
        "in best/. 0: none.",
        minimum=0,
        changeable=True,
    )
    eval_interval_epochs: float = option(
        flags.DEFINE_float,
        0.0,
        "Passes over the training images between evaluations, instead of "
        "--eval_interval_steps. 0: not used.",
        minimum=0.0,
        changeable=True,
    )
    save_summaries_secs: int = option(
        flags.DEFINE_integer,
        600,
        "Seconds between TensorBoard images (with --save_summaries_images).",
        minimum=1,
        changeable=True,
    )
    save_summaries_images: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether images, labels and predictions are written to TensorBoard.",
        changeable=True,
    )
    log_steps: int = option(
        flags.DEFINE_integer,
        10,
        "Steps between entries of metrics.jsonl and TensorBoard.",
        minimum=1,
        changeable=True,
    )
    display_every: int = option(
        flags.DEFINE_integer, 100, "Steps between log lines.", minimum=1, changeable=True
    )
    log_name: str = option(
        flags.DEFINE_string,
        "training.log",
        "Name of the log file in --train_logdir.",
        changeable=True,
    )
    profile_logdir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder for a TensorBoard profile of the second loop.",
        changeable=True,
    )
    seed: int = option(
        flags.DEFINE_integer,
        0,
        "Seed of initial weights, order, augmentation and dropout.",
        minimum=0,
    )

    @property
    def images_per_step(self) -> int:
        """Images per step and device."""
        return self.train_batch_size * self.accumulate_batches

    @property
    def evaluates(self) -> bool:
        """Whether checkpoints are evaluated during training."""
        return bool(self.eval_interval_steps or self.eval_interval_epochs)

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether any batch norm may use batch statistics."""
        return self.fine_tune_batch_norm or self.frozen_batch_norm == "statistics"

    def check(self):
        """Raises OptionError for options that contradict each other."""
        if not self.train_logdir:
            raise OptionError("--train_logdir is empty; name the folder of the run.")
        if self.sync_batch_norm and not self.uses_batch_statistics:
            raise OptionError(
                "--sync_batch_norm has no effect with --nofine_tune_batch_norm; leave one of them "
                "out."
            )
        if self.frozen_batch_norm != "inference" and not self.freeze:
            raise OptionError(
                f"--frozen_batch_norm={self.frozen_batch_norm} is about what --freeze freezes; "
                "pass --freeze too, or --nofine_tune_batch_norm for the whole network."
            )
        if self.init and self.tf_initial_checkpoint:
            raise OptionError(
                f"--init={self.init} and --tf_initial_checkpoint={self.tf_initial_checkpoint} both "
                "say where to start; leave one of them out."
            )
        if self.weights_dir and not self.init:
            raise OptionError(
                f"--weights_dir={self.weights_dir} has no effect without --init; pass both, such "
                "as --init=imagenet."
            )
        if not self.ema_decay < 1.0:
            raise OptionError(
                f"--ema_decay is {self.ema_decay:g}, but must be below 1; 0.999 averages over "
                "roughly the last 1000 steps."
            )
        for pattern in self.freeze or ():
            _check_expression("freeze", pattern)
        if self.unfreeze_step and not self.freeze:
            raise OptionError(
                f"--unfreeze_step={self.unfreeze_step} ends what --freeze begins; pass --freeze "
                "too."
            )
        if self.recover_from_nan and not self.do_checkpoint:
            raise OptionError("--recover_from_nan needs checkpoints; leave out --nodo_checkpoint.")
        for name in (
            "eval_interval_steps",
            "eval_interval_epochs",
            "milestone_steps",
            "unfreeze_step",
        ):
            if getattr(self, name) and not self.do_checkpoint:
                raise OptionError(f"--{name} needs checkpoints; leave out --nodo_checkpoint.")


# What may be said in epochs -> the same in steps.
IN_EPOCHS = {
    "epochs": "training_number_of_steps",
    "eval_interval_epochs": "eval_interval_steps",
}


def check_given(config):
    """Raises OptionError if a number was given in epochs and in steps.

    Args:
      config: All options of a training.
    """
    for epochs, steps in IN_EPOCHS.items():
        if getattr(config.train, epochs) and steps in config.given:
            raise OptionError(
                f"--{epochs}={getattr(config.train, epochs):g} and "
                f"--{steps}={getattr(config.train, steps)} say the same; leave one of them out (or "
                f"take the first back with --{epochs}=0)."
            )


# The records whose fields are the flags of a training.
TRAINING_RECORDS = (TrainOptions, MonitorOptions, OptimizerOptions, ScheduleOptions, LossOptions)

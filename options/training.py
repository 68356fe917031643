"""The options of training: how the network learns, and what a run leaves behind."""

from __future__ import annotations

import dataclasses
import re

from absl import flags

from common import Options, option
from utils.errors import OptionError


def _check_expression(name: str, pattern: str):
    try:
        re.compile(pattern)
    except re.error as error:
        raise OptionError(
            f"--{name}={pattern} is no regular expression ({error}); see Python's re."
        ) from None


@dataclasses.dataclass(frozen=True)
class TrainOptions(Options):
    """How the network learns, and what a training run leaves behind."""

    train_logdir: str = option(
        flags.DEFINE_string, "resnet_101", "Folder of the run: checkpoints, logs, options.json."
    )
    train_split: str = option(flags.DEFINE_string, "train", "Split to train on.")
    train_batch_size: int = option(
        flags.DEFINE_integer, 8, "Images per step and device.", minimum=1
    )
    training_number_of_steps: int = option(
        flags.DEFINE_integer, 30000, "Steps at which training ends.", minimum=1, changeable=True
    )
    iterations_per_loop: int = option(
        flags.DEFINE_integer,
        10,
        "Steps between two returns to the host; saving and logging happen then.",
        minimum=1,
        changeable=True,
    )
    optimizer: str = option(
        flags.DEFINE_string,
        "momentum",
        "The optimizer. Adam has adam_learning_rate, the others base_learning_rate and its policy.",
        choices=("momentum", "adam", "adamw", "sgd"),
    )
    momentum: float = option(flags.DEFINE_float, 0.9, "Momentum.", minimum=0.0, maximum=1.0)
    adam_learning_rate: float = option(
        flags.DEFINE_float, 0.001, "Learning rate of Adam, constant.", above=0.0
    )
    adam_epsilon: float = option(flags.DEFINE_float, 1e-8, "Epsilon of Adam and AdamW.", above=0.0)
    base_learning_rate: float = option(
        flags.DEFINE_float, 0.0001, "Learning rate at step zero, not of adam.", minimum=0.0
    )
    learning_policy: str = option(
        flags.DEFINE_string, "poly", "How the rate falls.", choices=("poly", "step", "cosine")
    )
    learning_power: float = option(flags.DEFINE_float, 0.9, "Power of poly.", minimum=0.0)
    decay_steps: float = option(
        flags.DEFINE_float,
        0.0,
        "Steps over which poly falls; 0: training_number_of_steps - slow_start_step.",
        minimum=0.0,
    )
    end_learning_rate: float = option(
        flags.DEFINE_float, 0.0, "Rate at the end of poly.", minimum=0.0
    )
    learning_rate_decay_factor: float = option(
        flags.DEFINE_float, 0.1, "Factor of each step of the step policy.", above=0.0
    )
    learning_rate_decay_step: int = option(
        flags.DEFINE_integer, 2000, "Steps between two falls of the step policy.", minimum=1
    )
    slow_start_step: int = option(
        flags.DEFINE_integer, 0, "Steps at slow_start_learning_rate before the policy.", minimum=0
    )
    slow_start_learning_rate: float = option(
        flags.DEFINE_float, 1e-4, "Rate during slow_start_step.", minimum=0.0
    )
    weight_decay: float = option(
        flags.DEFINE_float,
        4e-5,
        "L2 regularisation of convolution weights; with adamw the share of the learning rate by "
        "which they shrink each step (try 0.01).",
        minimum=0.0,
    )
    bias_multiplier: float = option(
        flags.DEFINE_float, 2.0, "Factor on the gradients of biases.", minimum=0.0
    )
    last_layer_gradient_multiplier: float = option(
        flags.DEFINE_float, 1.0, "Factor on the gradients of the head.", minimum=0.0
    )
    last_layers_contain_logits_only: bool = option(
        flags.DEFINE_bool, False, "Whether 'the head' above and below means the logits layer only."
    )
    clip_gradient_norm: float = option(
        flags.DEFINE_float,
        0.0,
        "Largest norm of all gradients together, before the factors above; 0: no limit.",
        minimum=0.0,
    )
    accumulate_batches: int = option(
        flags.DEFINE_integer,
        1,
        "Batches of train_batch_size images whose mean gradient makes one step.",
        minimum=1,
    )
    ema_decay: float = option(
        flags.DEFINE_float,
        0.0,
        "Decay of averages of the weights, such as 0.999, for evaluation with use_ema; 0: none.",
        minimum=0.0,
    )
    freeze: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "What training leaves as it is: backbone, head, decoder, or a regular expression that "
        "matches variables' names at their start; repeat the flag for more.",
    )
    fine_tune_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether batch norm uses and updates batch statistics (wants at least 8 images a device).",
    )
    sync_batch_norm: bool = option(
        flags.DEFINE_bool,
        False,
        "CPU and GPU, several ranks: whether batch norm that learns takes the statistics of all "
        "ranks' images.",
    )
    upsample_logits: bool = option(
        flags.DEFINE_bool, True, "Whether the loss sees logits at label size; False shrinks labels."
    )
    gradient_checkpointing: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether residual units are computed again for their gradients: less memory, more time.",
        changeable=True,
    )
    label_weights: tuple[float, ...] | None = option(
        flags.DEFINE_multi_float,
        None,
        "Loss weight of one class; repeat the flag, one value per class.",
        minimum=0.0,
    )
    hard_example_mining_step: int = option(
        flags.DEFINE_integer, 0, "Steps until top_k_percent_pixels is fully in force.", minimum=0
    )
    top_k_percent_pixels: float = option(
        flags.DEFINE_float,
        1.0,
        "Fraction of pixels with the largest loss that count (1.0: all).",
        above=0.0,
        maximum=1.0,
    )
    tf_initial_checkpoint: str | None = option(
        flags.DEFINE_string, None, "Checkpoint whose weights training starts from."
    )
    initialize_last_layer: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the head is taken from the checkpoint too (where it has one).",
    )
    recover_from_nan: int = option(
        flags.DEFINE_integer,
        0,
        "Times that a run may go back to its last checkpoint, and on with other images, when a "
        "loss or gradient is not finite.",
        minimum=0,
        changeable=True,
    )
    max_to_save: int = option(
        flags.DEFINE_integer, 5, "Newest checkpoints to keep.", minimum=1, changeable=True
    )
    do_checkpoint: bool = option(
        flags.DEFINE_bool, True, "Whether checkpoints are written.", changeable=True
    )
    save_checkpoints_steps: int = option(
        flags.DEFINE_integer, 500, "Steps between checkpoints.", minimum=1, changeable=True
    )
    save_interval_secs: int = option(
        flags.DEFINE_integer, 1200, "Longest time between checkpoints.", minimum=1, changeable=True
    )
    milestone_steps: int = option(
        flags.DEFINE_integer,
        0,
        "Steps between checkpoints that are never deleted; 0: none.",
        minimum=0,
        changeable=True,
    )
    eval_interval_steps: int = option(
        flags.DEFINE_integer,
        0,
        "Steps between evaluations on eval_split while training; the best checkpoint is kept in "
        "best/. 0: none.",
        minimum=0,
        changeable=True,
    )
    early_stopping_patience: int = option(
        flags.DEFINE_integer,
        0,
        "Evaluations without a better mIoU after which training ends; 0: it goes on.",
        minimum=0,
        changeable=True,
    )
    save_summaries_secs: int = option(
        flags.DEFINE_integer,
        600,
        "Seconds between TensorBoard images (with save_summaries_images).",
        minimum=1,
        changeable=True,
    )
    save_summaries_images: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether images, labels and predictions go to TensorBoard.",
        changeable=True,
    )
    log_steps: int = option(
        flags.DEFINE_integer,
        10,
        "Steps between two entries of metrics.jsonl and TensorBoard.",
        minimum=1,
        changeable=True,
    )
    display_every: int = option(
        flags.DEFINE_integer, 100, "Steps between two log lines.", minimum=1, changeable=True
    )
    log_name: str = option(
        flags.DEFINE_string, "training.log", "Name of the log file.", changeable=True
    )
    profile_logdir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder for a trace of the second loop, for TensorBoard.",
        changeable=True,
    )
    seed: int = option(
        flags.DEFINE_integer, 0, "Seed of weights, order, augmentation and dropout.", minimum=0
    )

    @property
    def images_per_step(self) -> int:
        """Images that make one step on each device."""
        return self.train_batch_size * self.accumulate_batches

    def check(self):
        """Raises OptionError for settings that cannot train."""
        if self.sync_batch_norm and not self.fine_tune_batch_norm:
            raise OptionError(
                "--sync_batch_norm is for batch norm that learns; leave it out, or pass "
                "--fine_tune_batch_norm."
            )
        if not self.ema_decay < 1.0:
            raise OptionError(
                f"--ema_decay is {self.ema_decay:g}, but must be below 1; 0.999 averages over "
                "about the last 1000 steps."
            )
        for pattern in self.freeze or ():
            _check_expression("freeze", pattern)
        if self.recover_from_nan and not self.do_checkpoint:
            raise OptionError("--recover_from_nan needs checkpoints; leave --nodo_checkpoint out.")
        if self.early_stopping_patience and not self.eval_interval_steps:
            raise OptionError(
                f"--early_stopping_patience={self.early_stopping_patience} counts evaluations; "
                "pass --eval_interval_steps too."
            )
        for name in ("eval_interval_steps", "milestone_steps"):
            if getattr(self, name) and not self.do_checkpoint:
                raise OptionError(f"--{name} needs checkpoints; leave --nodo_checkpoint out.")
        if self.slow_start_step >= self.training_number_of_steps:
            raise OptionError(
                f"--slow_start_step={self.slow_start_step} leaves nothing of "
                f"--training_number_of_steps={self.training_number_of_steps}."
            )

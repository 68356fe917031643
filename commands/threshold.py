"""`threshold`: finds the best thresholds of a checkpoint on a split."""

from __future__ import annotations

from commands import shared
from commands.command import EVALUATION, Command, only
from options import saved
from options.averaging import ScaleOptions
from options.command import CommandOptions
from options.config import Config
from options.evaluation import EvalOptions
from options.inference import CheckpointOptions, WindowOptions
from options.network import NETWORK_OPTIONS
from options.task import WITH_THRESHOLD, TaskOptions
from options.threshold import PER_IMAGE, ThresholdOptions
from utils.errors import OptionError


def _check(config: Config):
    options = config.evaluation
    shared.check_checkpoint(config, options)
    if options.checkpoint == "all" or len(options.prefixes) > 1:
        raise OptionError(
            "thresholds belong to one checkpoint; name one with --checkpoint_path, or newest, best "
            "or a step with --checkpoint."
        )
    if config.search.metric not in PER_IMAGE:
        config.refuse(["empty_images"], f"with --metric={config.search.metric}, a sum over images")
    check_task(config.task.task or saved.load(options.folders()[0]).run.get("task"))


def check_task(name: str | None):
    """Raises OptionError for a task that needs no threshold; None: not known yet."""
    if name is not None and name not in WITH_THRESHOLD:
        raise OptionError(
            f"a {name} network predicts the most probable class of each pixel, so it has no "
            "thresholds; they belong to --task=binary and --task=multilabel."
        )


VARIANTS = {
    "threshold": Command(
        name="threshold",
        program="python seg.py threshold",
        purpose=EVALUATION,
        summary="Finds the best threshold of each class on a split, stored for later commands.",
        examples=(
            "--checkpoint_dir=RUN --dataset_dir=RECORDS",
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --checkpoint=best --metric=map10 "
            "--noper_class",
        ),
        takes=(
            CommandOptions,
            ThresholdOptions,
            only(
                EvalOptions,
                *CheckpointOptions.names(),
                *ScaleOptions.names(),
                "eval_split",
                "eval_batch_size",
                "empty_images",
            ),
            WindowOptions,
            *NETWORK_OPTIONS,
            only(TaskOptions, "task"),
            *shared.DATA_OF_EVALUATION,
            shared.DEVICE_OF_EVALUATION,
            shared.RANKS_OF_EVALUATION,
        ),
        groups=(
            ("Search", ("metric", "per_class", "empty_images")),
            ("Checkpoint", ("checkpoint_dir", "checkpoint", "checkpoint_path", "use_ema")),
            ("Data", ("dataset_dir", "eval_split", "eval_crop_size")),
            ("Method", ("eval_scales", "add_flipped_images", "window_size")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.threshold",
        check=_check,
    )
}

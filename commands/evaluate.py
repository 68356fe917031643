"""`evaluate`: scores checkpoints on a split of a data set."""

from __future__ import annotations

from commands import shared
from commands.command import EVALUATION, Command
from options.command import CommandOptions
from options.config import Config
from options.evaluation import EvalOptions
from options.inference import WindowOptions
from options.network import NETWORK_OPTIONS
from options.task import TaskOptions


def _check(config: Config):
    shared.check_checkpoint(config, config.evaluation)
    shared.check_postprocessing(config.evaluation)


VARIANTS = {
    "evaluate": Command(
        name="evaluate",
        program="python eval.py",
        purpose=EVALUATION,
        summary="Scores checkpoints on a split: IoU of each class, mIoU, and a report.",
        examples=(
            "--checkpoint_dir=RUN --dataset_dir=RECORDS",
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --checkpoint=all",
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --watch",
            "--checkpoint_path=A/model.ckpt-9 --checkpoint_path=B/model.ckpt-9 "
            "--dataset_dir=RECORDS",
        ),
        takes=(
            CommandOptions,
            EvalOptions,
            WindowOptions,
            *NETWORK_OPTIONS,
            TaskOptions,
            *shared.DATA_OF_EVALUATION,
            shared.DEVICE_OF_EVALUATION,
            shared.RANKS_OF_EVALUATION,
        ),
        groups=(
            ("Checkpoint", ("checkpoint_dir", "checkpoint", "checkpoint_path", "use_ema")),
            ("Data", ("dataset_dir", "eval_split", "eval_crop_size")),
            ("Method", ("eval_scales", "add_flipped_images", "window_size", "postprocess")),
            ("Results", ("eval_logdir", "report", "watch")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.evaluate",
        check=_check,
    )
}

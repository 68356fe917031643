"""`train`: trains a network, or continues an interrupted training."""

from __future__ import annotations

import glob
import os

from commands import shared
from commands.command import TRAINING, Command, only
from core.checkpoints import named
from options import optimizer, training
from options.command import CommandOptions
from options.config import Config
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.network import NETWORK_OPTIONS
from options.ranks import RankOptions
from options.task import TaskOptions
from options.training import TRAINING_RECORDS


def _check(config: Config):
    config.check_given()
    shared.check_postprocessing(config.evaluation)
    optimizer.check_given(config)
    training.check_given(config)
    if config.loss.label_weights_from is not None:
        formula = config.loss.label_weights_from
        config.refuse(("label_weights",), f"with --label_weights_from={formula}")
    # A run that continues does not need them again.
    if not glob.glob(os.path.join(glob.escape(config.train.train_logdir), "*.index")):
        named.initial_weights(config.train, config.network.model_variant)


VARIANTS = {
    "train": Command(
        name="train",
        program="python train_npu.py",
        purpose=TRAINING,
        summary="Trains a network; the same command continues an interrupted training.",
        examples=(
            "--dataset_dir=RECORDS --train_logdir=RUN --model_variant=mobilenet_v2",
            "--flagfile=scripts/recipes/1p_s16.flags --train_logdir=RUN",
        ),
        takes=(
            CommandOptions,
            *NETWORK_OPTIONS,
            TaskOptions,
            *TRAINING_RECORDS,
            only(
                EvalOptions,
                "eval_split",
                "eval_batch_size",
                "eval_scales",
                "add_flipped_images",
                "add_vertically_flipped_images",
                "add_rotated_images",
                "average",
                "postprocess",
                "use_ema",
                "boundary_width",
                "calibration_bins",
            ),
            *shared.DATA_OF_TRAINING,
            DeviceOptions,
            RankOptions,
        ),
        groups=(
            ("Data", ("dataset_dir", "train_split", "train_crop_size")),
            (
                "Run",
                (
                    "train_logdir",
                    "training_number_of_steps",
                    "epochs",
                    "tf_initial_checkpoint",
                    "init",
                    "seed",
                ),
            ),
            shared.NETWORK_GROUP,
            ("Learning", ("train_batch_size", "base_learning_rate", "learning_policy")),
            ("Evaluation during training", ("eval_interval_steps", "eval_crop_size")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.train",
        check=_check,
    )
}

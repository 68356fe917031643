"""`lr_find`: searches a learning rate before a training."""

from __future__ import annotations

from commands import shared
from commands.command import TRAINING, Command, only, without
from core.checkpoints import named
from options import optimizer
from options.command import CommandOptions
from options.config import Config
from options.device import DeviceOptions
from options.loss import LossOptions
from options.lr_find import LrFindOptions
from options.network import NETWORK_OPTIONS, NetworkOptions
from options.optimizer import OptimizerOptions
from options.schedule import ScheduleOptions
from options.task import TaskOptions
from options.training import TrainOptions


def _check(config: Config):
    config.check_given()
    optimizer.check_own_flags(config)
    named.initial_weights(config.train, config.network.model_variant)
    shared.check_given(config.lr_find, "output_dir")


VARIANTS = {
    "lr_find": Command(
        name="lr_find",
        program="python seg.py lr_find",
        purpose=TRAINING,
        summary="Searches a learning rate: a few steps, each at a higher rate, and their loss.",
        examples=(
            "--dataset_dir=RECORDS --output_dir=FOLDER --model_variant=mobilenet_v2",
            "--dataset_dir=RECORDS --output_dir=FOLDER --end_lr=10 --find_steps=200",
        ),
        takes=(
            only(CommandOptions, "debug"),
            LrFindOptions,
            without(NetworkOptions, "prediction_with_upsampled_logits"),
            *(record for record in NETWORK_OPTIONS if record is not NetworkOptions),
            only(TaskOptions, "task"),
            only(
                TrainOptions,
                "train_split",
                "train_batch_size",
                "accumulate_batches",
                "freeze",
                "frozen_batch_norm",
                "fine_tune_batch_norm",
                "gradient_checkpointing",
                "tf_initial_checkpoint",
                "init",
                "weights_dir",
                "initialize_last_layer",
                "seed",
            ),
            without(OptimizerOptions, "adam_learning_rate"),
            only(ScheduleOptions),
            LossOptions,
            *shared.BATCHES_OF_TRAINING,
            DeviceOptions,
        ),
        groups=(
            ("Search", ("output_dir", "start_lr", "end_lr", "find_steps", "stop_factor")),
            ("Data", ("dataset_dir", "train_split", "train_crop_size")),
            shared.NETWORK_GROUP,
            ("Learning", ("train_batch_size", "tf_initial_checkpoint", "optimizer", "loss")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.lr_find",
        check=_check,
    )
}

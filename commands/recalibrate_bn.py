"""`recalibrate_bn`: computes the moving averages of a checkpoint's batch norm anew."""

from __future__ import annotations

from commands import shared
from commands.command import TRAINING, Command, only, without
from options.command import CommandOptions
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkOptions
from options.recalibration import RecalibrationOptions
from options.task import TaskOptions
from options.training import TrainOptions


def _check(config: Config):
    shared.check_given(config.recalibration, "output")
    shared.check_checkpoint(config, config.recalibration)


VARIANTS = {
    "recalibrate_bn": Command(
        name="recalibrate_bn",
        program="python seg.py recalibrate_bn",
        purpose=TRAINING,
        summary="Computes the moving averages of batch norm anew, over the training split.",
        examples=(
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --output=FOLDER/model.ckpt-1000",
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --output=FOLDER/model.ckpt-1000 --use_ema "
            "--num_batches=200",
        ),
        takes=(
            only(CommandOptions, "debug"),
            RecalibrationOptions,
            without(NetworkOptions, "prediction_with_upsampled_logits"),
            *(record for record in NETWORK_OPTIONS if record is not NetworkOptions),
            only(TaskOptions, "task"),
            only(TrainOptions, "train_split", "train_batch_size", "seed"),
            *shared.BATCHES_OF_TRAINING,
            shared.DEVICE_OF_EVALUATION,
        ),
        groups=(
            ("Checkpoint", ("checkpoint_dir", "checkpoint", "checkpoint_path", "use_ema")),
            ("Result", ("output", "num_batches", "keep")),
            ("Data", ("dataset_dir", "train_split", "train_batch_size")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.recalibrate_bn",
        check=_check,
    )
}

"""`visualize`: draws the predictions of a split, as the DeepLab family's vis.py does."""

from __future__ import annotations

from commands import shared
from commands.command import USE, Command
from options.config import Config
from options.network import NETWORK_OPTIONS
from options.prediction import VisOptions
from options.task import TaskOptions


def _check(config: Config):
    shared.check_checkpoint(config, config.visualization)
    shared.check_postprocessing(config.visualization)
    shared.check_given(config.visualization, "vis_logdir")
    shared.check_given(config.data, "dataset_dir")
    records = [config.data.dataset_dir]
    shared.check_apart("--vis_logdir", config.visualization.vis_logdir, "--dataset_dir", records)


VARIANTS = {
    "visualize": Command(
        name="visualize",
        program="python vis.py",
        purpose=USE,
        summary="Draws the predictions of a split, under the DeepLab family's file names.",
        examples=(
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --vis_logdir=pictures",
            "--checkpoint_dir=RUN --dataset_dir=RECORDS --vis_logdir=pictures "
            "--also_save_raw_predictions",
        ),
        takes=(
            VisOptions,
            *NETWORK_OPTIONS,
            TaskOptions,
            *shared.DATA_OF_PICTURES,
            shared.DEVICE_OF_EVALUATION,
        ),
        groups=(
            ("Checkpoint", ("checkpoint_dir", "checkpoint", "checkpoint_path")),
            ("Data", ("dataset_dir", "vis_split", "vis_crop_size")),
            ("Results", ("vis_logdir", "also_save_raw_predictions", "colormap_type")),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.visualize",
        check=_check,
    )
}

"""`export`: writes a checkpoint in the formats of other programs."""

from __future__ import annotations

from commands import shared
from commands.command import USE, Command
from options.config import Config
from options.export import ExportOptions
from options.network import NETWORK_OPTIONS
from options.task import TaskOptions


def _check(config: Config):
    shared.check_checkpoint(config, config.export)
    shared.check_postprocessing(config.export)
    config.export.check_complete()


VARIANTS = {
    "export": Command(
        name="export",
        program="python export_model.py",
        purpose=USE,
        summary="Exports a checkpoint: frozen graph, SavedModel, TFLite, ONNX, Ascend's om.",
        examples=(
            "--checkpoint_dir=RUN --export_path=OUT/model.pb",
            "--checkpoint_path=RUN/model.ckpt-30000 --export_path=OUT/model.pb "
            "--format=frozen,savedmodel,tflite,onnx,om --check_images=PHOTOS",
        ),
        takes=(
            ExportOptions,
            *NETWORK_OPTIONS,
            TaskOptions,
            *shared.DATA_OF_EXPORT,
            shared.DEVICE_OF_EXPORT,
        ),
        groups=(
            ("Checkpoint", ("checkpoint_dir", "checkpoint", "checkpoint_path", "use_ema")),
            ("Files", ("export_path", "format")),
            ("Input", ("crop_size", "inference_scales", "add_flipped_images")),
            ("Check", ("check_images", "representative_images")),
        ),
        engine="commands.engines.export",
        check=_check,
    )
}

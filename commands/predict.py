"""`predict`: segments photos."""

from __future__ import annotations

from commands import shared
from commands.command import USE, Command
from options import saved
from options.config import Config
from options.inference import WindowOptions
from options.network import NETWORK_OPTIONS
from options.prediction import PredictOptions
from options.task import TaskOptions

# What chooses weights or changes a network.
_OF_CHECKPOINTS = {"checkpoint", "use_ema", "change_network", "threshold"}


def _check(config: Config):
    options = config.prediction
    options.check_complete()
    shared.check_apart("--output_dir", options.output_dir, "--input", options.input)
    shared.check_postprocessing(config.prediction)
    if config.prediction.model:
        network = {*config.spec.to_dict(), *saved.DATA_OF_THE_NETWORK}
        config.refuse(network | _OF_CHECKPOINTS, "with --model, which holds a whole network")


VARIANTS = {
    "predict": Command(
        name="predict",
        program="python predict.py",
        purpose=USE,
        summary="Segments photos of any size: masks, overlays, probabilities, run lengths.",
        examples=(
            "--checkpoint_dir=RUN --input=photos --output_dir=results",
            "--model=network.pb --input=photo.jpg --input='more/*.png' --output_dir=results "
            "--save=index,palette,overlay,prob,rle",
        ),
        takes=(
            PredictOptions,
            WindowOptions,
            *NETWORK_OPTIONS,
            TaskOptions,
            *shared.DATA_OF_PREDICTION,
            shared.DEVICE_OF_EVALUATION,
        ),
        groups=(
            ("Photos and results", ("input", "output_dir", "save", "skip_existing", "overwrite")),
            ("Model", ("checkpoint_dir", "checkpoint", "checkpoint_path", "model", "use_ema")),
            (
                "Method",
                (
                    "eval_scales",
                    "add_flipped_images",
                    "eval_crop_size",
                    "window_size",
                    "postprocess",
                ),
            ),
            ("Device", ("device", "precision_mode")),
        ),
        engine="commands.engines.predict",
        check=_check,
    )
}

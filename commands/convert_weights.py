"""`convert_weights`: makes a checkpoint of weights of another framework or system."""

from __future__ import annotations

from commands import shared
from commands.command import TOOLS, Command, without
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkOptions
from options.weights import WeightsOptions


def _check(config: Config):
    config.check_given()
    shared.check_given(config.weights, "source", "input", "output")


VARIANTS = {
    "convert_weights": Command(
        name="convert_weights",
        program="python seg.py convert_weights",
        purpose=TOOLS,
        summary="Makes a checkpoint of weights of another framework, for --tf_initial_checkpoint.",
        examples=(
            "--source=torchvision --input=FILE.pth --output=FOLDER/model.ckpt "
            "--architecture=fcn --model_variant=resnet101_torch",
        ),
        takes=(
            WeightsOptions,
            without(NetworkOptions, "prediction_with_upsampled_logits"),
            *(record for record in NETWORK_OPTIONS if record is not NetworkOptions),
        ),
        groups=(
            ("Weights", ("source", "input", "output")),
            ("Network", ("architecture", "model_variant", "output_stride")),
        ),
        engine="commands.engines.convert_weights",
        check=_check,
    )
}

"""`checkpoint`: shows what a checkpoint holds, matches it with a network, writes a small copy."""

from __future__ import annotations

from commands import shared
from commands.command import TOOLS, Command, without
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkOptions
from options.tools import ToolOptions

# Flag of checkpoint_tool.py -> the other verb that it chooses.
BY_FLAG = {"source": "convert_weights"}


def _check(config: Config):
    config.check_given()
    shared.check_given(config.checkpoint, "checkpoint_path")


VARIANTS = {
    "checkpoint": Command(
        name="checkpoint",
        program="python checkpoint_tool.py",
        purpose=TOOLS,
        summary="Shows what a checkpoint holds, matches it with a network, or writes a small copy.",
        examples=(
            "--checkpoint_path=RUN/model.ckpt-1000",
            "--checkpoint_path=RUN/model.ckpt-1000 --fit --model_variant=NAME --num_classes=21",
            "--checkpoint_path=RUN/model.ckpt-1000 --compact_to=FOLDER/model.ckpt-1000",
        ),
        takes=(
            ToolOptions,
            without(NetworkOptions, "prediction_with_upsampled_logits"),
            *(record for record in NETWORK_OPTIONS if record is not NetworkOptions),
        ),
        groups=(
            ("Checkpoint", ("checkpoint_path", "fit", "num_classes", "compact_to")),
            shared.NETWORK_GROUP,
        ),
        engine="commands.engines.checkpoint",
        check=_check,
    )
}

"""The options of the conversion of weights."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class WeightsOptions(Options):
    """Which weights become which checkpoint."""

    SECTION = "weights"

    source: str | None = option(
        flags.DEFINE_string,
        None,
        "Where the weights come from: deeplab, torchvision, hardnet, keras_applications, "
        "segmentation_models, musket or refinenet.",
    )
    input: str | None = option(
        flags.DEFINE_string, None, "File of the weights, or prefix of a TensorFlow checkpoint."
    )
    output: str | None = option(
        flags.DEFINE_string, None, "Prefix of the checkpoint to write, such as FOLDER/model.ckpt."
    )

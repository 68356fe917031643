"""The options of FCN."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions


@dataclasses.dataclass(frozen=True)
class FcnOptions(ArchitectureOptions):
    """FCN: the heads."""

    SECTION = "fcn"

    fcn_dropout: float = option(
        flags.DEFINE_float,
        0.1,
        "Share of the head's elements that training drops.",
        minimum=0.0,
        maximum=0.99,
    )
    fcn_aux_loss_weight: float = option(
        flags.DEFINE_float,
        0.5,
        "Weight of the auxiliary head's loss; 0: no auxiliary head.",
        minimum=0.0,
    )


VARIANTS = {"fcn": FcnOptions}

"""The options of augmentation: what is changed at random in training images."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class AugmentationOptions(Options):
    """Random scale, crop, colour, blur and rotation of training images."""

    SECTION = "augmentation"

    min_scale_factor: float = option(flags.DEFINE_float, 0.5, "Minimum random scale.", above=0.0)
    max_scale_factor: float = option(flags.DEFINE_float, 2.0, "Maximum random scale.", above=0.0)
    scale_factor_step_size: float = option(
        flags.DEFINE_float, 0.25, "Step between random scales; 0: continuous.", minimum=0.0
    )
    random_crop_area: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.08, 1.0),
        "With --augmentation=imagenet: minimum,maximum fraction of the image in a crop.",
        convert=float,
        length=2,
        above=0.0,
        maximum=1.0,
    )
    random_crop_aspect: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.75, 4 / 3),
        "With --augmentation=imagenet: minimum,maximum width / height of a crop.",
        convert=float,
        length=2,
        above=0.0,
    )
    brightness_delta: float = option(
        flags.DEFINE_float,
        0.0,
        "Maximum change of brightness, as a fraction of white.",
        minimum=0,
        maximum=1,
    )
    contrast_delta: float = option(
        flags.DEFINE_float, 0.0, "Maximum relative change of contrast.", minimum=0, maximum=1
    )
    saturation_delta: float = option(
        flags.DEFINE_float, 0.0, "Maximum relative change of saturation.", minimum=0, maximum=1
    )
    hue_delta: float = option(
        flags.DEFINE_float,
        0.0,
        "Maximum change of hue, in turns of the color wheel.",
        minimum=0,
        maximum=0.5,
    )
    max_blur_sigma: float = option(
        flags.DEFINE_float,
        0.0,
        "Maximum sigma of the random Gaussian blur, in pixels.",
        minimum=0,
        maximum=20,
    )
    max_rotation: float = option(
        flags.DEFINE_float, 0.0, "Maximum random rotation, in degrees.", minimum=0, maximum=180
    )

    def check(self):
        """Raises OptionError for empty ranges."""
        for name in ("random_crop_area", "random_crop_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise OptionError(f"--{name}={low},{high}: the first number is above the second.")
        if self.min_scale_factor > self.max_scale_factor:
            raise OptionError(
                f"--min_scale_factor={self.min_scale_factor} is above "
                f"--max_scale_factor={self.max_scale_factor}."
            )

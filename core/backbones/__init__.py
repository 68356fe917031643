"""The backbones, one file per family; each file offers its networks in a dict VARIANTS.

A variant is a record, not a class: numbers that travel together (scope, normalisation, pad colour,
possible strides) and one function that builds the features. `core/network.py` collects all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Callable

from options.network import NetworkOptions
from utils.compat import tf
from utils.errors import OptionError

# Mean colour of ImageNet in 0..255 as (red, green, blue), the value that ResNets subtract.
IMAGENET_MEAN = (123.15, 115.90, 103.06)

# The same of shares of white, and their standard deviation, as other frameworks have it.
_MEAN_OF_SHARES, _DEVIATION_OF_SHARES = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STANDARDIZED_MEAN = tuple(255 * share for share in _MEAN_OF_SHARES)

# The colour that becomes 0 when 0..255 is mapped to [-1, 1].
MIDDLE_GREY = (127.5, 127.5, 127.5)


@dataclasses.dataclass(frozen=True)
class Features:
    """What a backbone makes of a batch of images.

    Attributes:
      output: [N, ceil(h / s), ceil(w / s), channels] with s the output stride; the head's input.
      at_stride: Stride -> lower features of that stride, for decoders. They are taken where the
        checkpoints of the DeepLab family demand, often inside a unit.
    """

    output: tf.Tensor
    at_stride: dict[int, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One variant of a backbone.

    Attributes:
      scope: Variable scope of all its variables; checkpoints know it by this name.
      build: `build(images, options, *, is_training, weight_decay) -> Features`. `images` are
        normalised float32 [N, h, w, 3]; `is_training` says whether batch norm uses and updates
        batch statistics (false also while training with frozen batch norm); `weight_decay` is the
        L2 factor of convolution weights, never of depthwise ones. The function opens the variable
        scope itself, with reuse as the surrounding scope says. How convolutions are computed is
        decided by the surrounding arg scope.
      normalize: Maps float images 0..255 to the values that the variant was trained on.
      pad_color: (red, green, blue) in 0..255 that `normalize` maps to 0.
      batch_norm_decay: Of its moving averages; the head has its own, an option.
      output_strides: The output strides it can be built at.
      decoder_strides: The keys of `Features.at_stride`.
      multi_grid_units: Number of values that `multi_grid` takes; 0 where there is no multi-grid.
      has_width: Whether `depth_multiplier` and `divisible_by` mean something to it.
      only_divisor: The one value that `divisible_by` can have; None where any will do.
    """

    scope: str
    build: Callable[..., Features]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    pad_color: tuple[float, float, float]
    batch_norm_decay: float
    output_strides: tuple[int, ...] = (8, 16, 32)
    decoder_strides: tuple[int, ...] = (4,)
    multi_grid_units: int = 0
    has_width: bool = False
    only_divisor: int | None = None

    def check(self, options: NetworkOptions):
        """Raises OptionError for options that this variant cannot follow."""
        name = options.model_variant
        if options.output_stride not in self.output_strides:
            raise OptionError(
                f"--output_stride is {options.output_stride}, but {name} can do "
                f"{either(self.output_strides)}."
            )
        self._check_multi_grid(options)
        if not self.has_width and (options.depth_multiplier != 1.0 or options.divisible_by):
            raise OptionError(
                f"--depth_multiplier and --divisible_by mean nothing to {name}; leave them out."
            )
        if self.only_divisor and options.divisible_by not in (None, self.only_divisor):
            raise OptionError(
                f"--divisible_by={options.divisible_by} cannot have an effect: the channels of "
                f"{name} are always multiples of {self.only_divisor}; leave the flag out."
            )

    def _check_multi_grid(self, options):
        rates = options.multi_grid
        if rates is None:
            return
        if not self.multi_grid_units:
            raise OptionError(
                f"--multi_grid means nothing to {options.model_variant}; leave it out."
            )
        if len(rates) != self.multi_grid_units:
            raise OptionError(
                f"--multi_grid has {len(rates)} values, but {options.model_variant} needs one for "
                f"each of the {self.multi_grid_units} units of its last block."
            )


def subtract_mean(images: tf.Tensor) -> tf.Tensor:
    """Returns float32 images [..., 3], RGB in 0..255, minus the mean colour of ImageNet."""
    return images - tf.constant(IMAGENET_MEAN, tf.float32)


def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Maps float32 images [..., 3] in 0..255 to [-1, 1]."""
    return images * (2.0 / 255.0) - 1.0


def standardize(images: tf.Tensor) -> tf.Tensor:
    """Maps float32 images [..., 3], RGB in 0..255, to mean 0 and deviation 1 of ImageNet.

    So were the ImageNet weights trained that other frameworks publish.
    """
    mean, deviation = (tf.constant(values) for values in (_MEAN_OF_SHARES, _DEVIATION_OF_SHARES))
    return (images * (1.0 / 255.0) - mean) / deviation


def either(values) -> str:
    """Returns "8, 16 or 32"."""
    texts = [str(value) for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)

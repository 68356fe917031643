"""The backbones, one file per family; each file offers its networks in a dict VARIANTS.

A variant is a record, not a class: numbers that travel together (scope, normalization, pad color,
possible strides) and one function that builds the features. `core/network.py` collects all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, NamedTuple

from options.network import NetworkOptions
from utils.compat import tf
from utils.errors import OptionError

# Mean colour of ImageNet in 0..255 as (red, green, blue), the value that ResNets subtract.
IMAGENET_MEAN = (123.15, 115.90, 103.06)

# The same of shares of white, and their standard deviation, as other frameworks have it.
_MEAN_OF_SHARES, _DEVIATION_OF_SHARES = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STANDARDIZED_MEAN = tuple(255 * share for share in _MEAN_OF_SHARES)

# The same of Caffe's weights, which see blue first.
CAFFE_MEAN = (123.68, 116.779, 103.939)

# The colour that becomes 0 when 0..255 is mapped to [-1, 1].
MIDDLE_GREY = (127.5, 127.5, 127.5)
BLACK = (0.0, 0.0, 0.0)


class Features(NamedTuple):
    """What a backbone makes of a batch of images.

    Attributes:
      output: [N, ceil(h / s), ceil(w / s), channels] with s the output stride; a backbone whose
        pooling drops an odd last row or column gives less.
      stages: Stride 2, 4, 8, 16, 32 -> output of the last unit that has this stride when the output
        stride is 32. Units are the same at every output stride, so channels do not depend on it;
        where it is smaller, later stages have that stride. The stage of the largest stride is the
        output.
      low_level: Stride below the output stride -> features for DeepLab's decoder, taken where
        checkpoints of the DeepLab family expect it, often inside a unit.
      named: Name -> (stride at output stride 32, output) of the layer that is called so in the
        system that the backbone is from.
    """

    output: tf.Tensor
    stages: dict
    low_level: dict
    named: dict = {}  # noqa: RUF012 - shared, but nothing is added to it


def _accept(unused_options):
    """Accepts all options."""


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One variant of a backbone.

    Attributes:
      scope: Variable scope of all its variables; checkpoints know it by this name.
      build: `build(images, options, mode) -> Features`. `images` are normalized float32
        [N, h, w, input channels], `options` the `NetworkOptions`, `mode` the `layers.Mode`.
        Depthwise kernels have no weight decay. The function opens the variable scope itself;
        whether variables are reused depends on the surrounding scope.
      normalize: Maps float images 0..255 to the values that the variant was trained on.
      pad_color: (red, green, blue) in 0..255 that `normalize` maps to 0.
      batch_norm_decay: Of its moving averages; the head has its own, an option.
      channels: Stride -> channels of that stage at depth multiplier 1.
      output_strides: The output strides it can be built at; empty if it has its own, which the
        option does not change.
      low_level_strides: The keys that `Features.low_level` can have.
      named: Name -> (stride at output stride 32, channels) of `Features.named`.
      takes: Those of `OPTIONAL` that it reads.
      check: `check(options)` raises OptionError for values of its options that it cannot follow.
      architectures: The architectures that it is made for, if it works under no others.
    """

    scope: str
    build: Callable[..., Features]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    pad_color: tuple[float, float, float]
    batch_norm_decay: float
    channels: dict[int, int]
    output_strides: tuple[int, ...] = (8, 16, 32)
    low_level_strides: tuple[int, ...] = (4,)
    named: dict = dataclasses.field(default_factory=dict)
    takes: frozenset = frozenset()
    check: Callable[[NetworkOptions], None] = _accept
    architectures: tuple[str, ...] = ()

    def output_stride(self, options: NetworkOptions) -> int:
        """Returns the stride of its output."""
        return options.output_stride if self.output_strides else max(self.channels)


# Options of the network that only some backbones and architectures read.
OPTIONAL = ("multi_grid", "depth_multiplier", "divisible_by", "use_bounded_activation")


def check_multi_grid(options: NetworkOptions, units: int):
    """Raises OptionError if there is not one rate for each unit of the last block."""
    rates = options.multi_grid
    if rates is not None and len(rates) != units:
        raise OptionError(
            f"--multi_grid has {len(rates)} values, but {options.model_variant} needs one for "
            f"each of the {units} units of its last block."
        )


def subtract_mean(images: tf.Tensor) -> tf.Tensor:
    """Returns float32 images [..., 3], RGB in 0..255, minus the mean colour of ImageNet."""
    return images - tf.constant(IMAGENET_MEAN, tf.float32)


def scale_to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Maps float32 images [..., channels] in 0..255 to [-1, 1]."""
    return images * (2.0 / 255.0) - 1.0


def standardize(images: tf.Tensor) -> tf.Tensor:
    """Maps float32 images [..., 3], RGB in 0..255, to mean 0 and deviation 1 of ImageNet.

    So were the ImageNet weights trained that other frameworks publish.
    """
    mean, deviation = (tf.constant(values) for values in (_MEAN_OF_SHARES, _DEVIATION_OF_SHARES))
    return (images * (1.0 / 255.0) - mean) / deviation


def standardize_bgr(images: tf.Tensor) -> tf.Tensor:
    """Standardizes float32 images [..., 3], RGB in 0..255, and turns them into BGR."""
    return _reversed(standardize(images))


def subtract_caffe_mean(images: tf.Tensor) -> tf.Tensor:
    """Returns float32 images [..., 3], RGB in 0..255, as BGR minus the mean of Caffe's weights."""
    return _reversed(images - tf.constant(CAFFE_MEAN, tf.float32))


def _reversed(images):
    """Returns BGR of RGB, by an operation that an NPU has."""
    # The TFLite converter of TensorFlow 1.15 takes no negative axis.
    return tf.gather(images, [2, 1, 0], axis=images.shape.rank - 1)


def keep_values(images: tf.Tensor) -> tf.Tensor:
    """Returns float32 images in 0..255 as they are."""
    return images


class Normalization(NamedTuple):
    """A way to normalize images.

    Attributes:
      normalize: Maps float images 0..255 to the values that a network gets.
      pad_color: (red, green, blue) in 0..255 that `normalize` maps to 0.
    """

    normalize: Callable[[tf.Tensor], tf.Tensor]
    pad_color: tuple[float, float, float]


# The values of --normalization, but for `backbone`, which is in the record of each backbone.
NORMALIZATIONS = {
    "imagenet": Normalization(standardize, STANDARDIZED_MEAN),
    "none": Normalization(keep_values, BLACK),
    "caffe": Normalization(subtract_caffe_mean, CAFFE_MEAN),
    "bgr_imagenet": Normalization(standardize_bgr, STANDARDIZED_MEAN),
    "tf": Normalization(scale_to_unit_range, MIDDLE_GREY),
}

# Those that treat all channels alike, so that any number of channels may come in.
OF_ANY_CHANNELS = (keep_values, scale_to_unit_range)


def either(values) -> str:
    """Returns "8, 16 or 32"."""
    texts = [str(value) for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)

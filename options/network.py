"""The options of the network: its backbone and architecture, and what all architectures share."""

from __future__ import annotations

import dataclasses

from absl import flags

import options.architectures
from common import Options, option
from options import refused
from options.architectures import ArchitectureOptions
from utils import variants
from utils.errors import OptionError

# Architecture -> the class of its options; one that is not among them has none.
ARCHITECTURES = variants.collect(options.architectures)


def options_of(architecture: str):
    """Returns the class of an architecture's options."""
    return ARCHITECTURES.get(architecture, ArchitectureOptions)


def names_of(architecture: str) -> frozenset:
    """Returns the names of an architecture's own options."""
    return frozenset(field.name for field in dataclasses.fields(options_of(architecture)))


def check_given(architecture: str, given: frozenset):
    """Raises OptionError if an option was given that belongs to other architectures only.

    Args:
      architecture: The chosen architecture.
      given: Names of the options that were given on purpose.
    """
    own = names_of(architecture)
    for other in ARCHITECTURES:
        foreign = sorted(given & names_of(other) - own)
        if foreign:
            raise _foreign(foreign[0], other, architecture)


def _foreign(name: str, owner: str, architecture: str) -> OptionError:
    return OptionError(
        f"--{name} is an option of --architecture={owner} and has no effect with "
        f"--architecture={architecture}; leave it out."
    )


@dataclasses.dataclass(frozen=True)
class NetworkOptions(Options):
    """The network: its architecture, its backbone, and what every architecture has."""

    SECTION = "network"

    architecture: str = option(
        flags.DEFINE_string,
        "deeplab",
        "The network after the backbone; the name of a module of core/architectures.",
    )
    model_variant: str = option(flags.DEFINE_string, "mobilenet_v2", "The backbone.")
    normalization: str = option(
        flags.DEFINE_string,
        "backbone",
        "Input normalization. backbone: as the published weights of this backbone expect. "
        "imagenet: scale to [0, 1], subtract the ImageNet mean, divide by its standard deviation "
        "(the PyTorch convention). none: 0 to 255. caffe: BGR minus 103.939, 116.779, 123.68. "
        "bgr_imagenet: as imagenet, in BGR. tf: scale to [-1, 1].",
        choices=("backbone", "imagenet", "none", "caffe", "bgr_imagenet", "tf"),
    )
    input_channels: int = option(
        flags.DEFINE_integer,
        3,
        "Channels of the network's input. 1: grey images; photos in colour are made grey. Records "
        "hold images of 1 or 3.",
        minimum=1,
    )
    output_stride: int = option(
        flags.DEFINE_integer,
        16,
        "Input size / feature size of the backbone; smaller is finer and slower. 4 needs a "
        "resnet_v1 or a torchvision ResNet.",
        choices=(4, 8, 16, 32),
    )
    multi_grid: tuple[int, ...] | None = option(
        flags.DEFINE_multi_integer,
        None,
        "Atrous rate of one unit of the last ResNet or Xception block; repeat the flag, one value "
        "per unit (1, 2, 4).",
        minimum=1,
    )
    depth_multiplier: float = option(
        flags.DEFINE_float, 1.0, "MobileNet: multiplier of the number of channels.", above=0.0
    )
    divisible_by: int | None = option(
        flags.DEFINE_integer, None, "MobileNet: round channels to multiples of this.", minimum=1
    )
    use_bounded_activation: bool = option(
        flags.DEFINE_bool, False, "Whether Xception and DeepLab's head use ReLU6 instead of ReLU."
    )
    image_pyramid: tuple[float, ...] | None = option(
        flags.DEFINE_multi_float,
        None,
        "Input scale of an image pyramid whose logits are merged; repeat the flag.",
        above=0.0,
    )
    merge_method: str = option(
        flags.DEFINE_string,
        "max",
        "How the logits of an image pyramid are merged.",
        choices=("max", "avg"),
    )
    prediction_with_upsampled_logits: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether logits are upsampled before the activation; False upsamples probabilities.",
    )
    batch_norm_decay: float = option(
        flags.DEFINE_float,
        0.9997,
        "Decay of the moving averages of batch norm outside the backbone, which has its own.",
        minimum=0.0,
        maximum=1.0,
    )


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """A network: everything that decides its graph and its variables.

    Attributes:
      options: What every network has.
      architecture: The options of the chosen architecture, of the class that
        `options_of` gives.
    """

    options: NetworkOptions
    architecture: ArchitectureOptions

    def __post_init__(self):
        record = options_of(self.options.architecture)
        if type(self.architecture) is not record:
            raise ValueError(
                f"--architecture={self.options.architecture} takes {record.__name__}, not "
                f"{type(self.architecture).__name__}."
            )
        self.architecture.check_network(self.options)

    @classmethod
    def of(cls, **values) -> NetworkSpec:
        """Makes a network from option names and values; the others have their defaults.

        Raises:
          OptionError: If a name is unknown, belongs to another architecture, or a value is refused.
        """
        values = refused.without(values)
        common_names = {field.name for field in dataclasses.fields(NetworkOptions)}
        options = NetworkOptions(**_taken(values, common_names))
        record = options_of(options.architecture)
        own_names = names_of(options.architecture)
        architecture = record(**_taken(values, own_names))
        others = {
            name: value
            for name, value in values.items()
            if name not in common_names and name not in own_names
        }
        _refuse_others(others, options.architecture, common_names | own_names)
        return cls(options, architecture)

    @classmethod
    def from_dict(cls, values: dict) -> NetworkSpec:
        """Makes a network from the result of `to_dict`, of this or an older version."""
        return cls.of(**values)

    @property
    def records(self) -> tuple:
        """Both records."""
        return self.options, self.architecture

    def to_dict(self) -> dict:
        """Returns all options by name as plain values for JSON."""
        return {**self.options.to_dict(), **self.architecture.to_dict()}

    @staticmethod
    def changeable() -> frozenset:
        """Returns the names of the options that may differ when a run is continued: none."""
        return frozenset()

    def replace(self, **changes) -> NetworkSpec:
        """Returns the network with other values of some options, by name."""
        return self.of(**{**self.to_dict(), **changes})


def _taken(values: dict, names) -> dict:
    return {name: value for name, value in values.items() if name in names}


def _refuse_others(values: dict, architecture: str, known):
    """Raises OptionError for names that no record of this network has.

    An option of another architecture may be there at its default.
    """
    for other, record in ARCHITECTURES.items():
        default = record().to_dict()
        for name in sorted(set(values) & set(default)):
            value = values.pop(name)
            if (list(value) if isinstance(value, tuple) else value) != default[name]:
                raise _foreign(name, other, architecture)
    if values:
        raise OptionError(
            f"{', '.join(sorted(values))}: no such option of the network; the known ones are "
            f"{', '.join(sorted(known))}."
        )


# The records that a network is described by, and with those that are only refused.
NETWORK_OPTIONS = (NetworkOptions, *dict.fromkeys(ARCHITECTURES.values()))

"""Parameters and multiplications of the architectures, as the table of docs/networks.md.

  python -m benchmarks.network_costs                        # prints all rows
  python -m benchmarks.network_costs --architectures=fcn    # those of some architectures

The graphs are built, not run. Parameters are the trainable values of the network that answers,
without heads that only training has. GMAC are the multiply-adds, in billions, of all convolutions
of one image; a convolution in groups counts the zeros with which neighboring groups are merged.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from absl import flags

import common
from benchmarks.networks import operations_of
from common import Options, option
from core import network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

_CLASSES = 21


class Case(NamedTuple):
    """A row of the table: a network and the side of its square images."""

    architecture: str
    backbone: str
    output_stride: int
    side: int


# Add a line for each backbone that an architecture is usually used with.
CASES = (
    Case("deeplab_keras", "mobilenet_v2_keras", 8, 512),
    Case("deeplab_keras", "xception_keras", 8, 512),
    Case("deeplab_keras", "xception_keras", 16, 512),
    Case("deeplab_torch", "resnet50_torch", 8, 520),
    Case("deeplab_torch", "resnet101_torch", 8, 520),
    Case("fcn", "resnet50_torch", 8, 520),
    Case("fcn", "resnet101_torch", 8, 520),
    Case("fcn", "mobilenet_v2_torch", 8, 520),
)


@dataclasses.dataclass(frozen=True)
class CostOptions(Options):
    """Which rows are printed."""

    architectures: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Architectures, comma separated; unset: all.", convert=str
    )


def main(flag_values):
    """Prints the table."""
    names = common.from_flags(CostOptions, flag_values).architectures
    known = sorted({case.architecture for case in CASES})
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise OptionError(
            f"--architectures has {', '.join(unknown)}, but the table has {', '.join(known)}."
        )
    print("| architecture | backbone | output stride | image | parameters | GMAC |")
    print("| --- | --- | ---: | --- | ---: | ---: |")
    for case in CASES:
        if names is None or case.architecture in names:
            print(row(case))


def row(case: Case) -> str:
    """Returns a network's row."""
    parameters, multiplications = cost(case)
    return (
        f"| `{case.architecture}` | `{case.backbone}` | {case.output_stride} "
        f"| {case.side}x{case.side} | {parameters:,} | {multiplications / 1e9:.1f} |"
    )


def cost(case: Case) -> tuple:
    """Returns a network's parameters, and its multiply-adds for one image."""
    spec = NetworkSpec.of(
        architecture=case.architecture,
        model_variant=case.backbone,
        output_stride=case.output_stride,
    )
    size = (case.side, case.side)
    with tf.Graph().as_default() as graph:
        network.build(tf.zeros([1, *size, 3]), spec, _CLASSES, crop_size=size)
        parameters = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
        return parameters, sum(map(operations_of, graph.get_operations())) // 2


if __name__ == "__main__":
    common.run(main, CostOptions)

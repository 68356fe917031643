"""The options of RefineNet."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions
from utils.errors import OptionError

_PADDINGS = ("same", "valid")


def _pair(default, help_text: str):
    """Returns an option of two numbers."""
    return option(flags.DEFINE_list, default, help_text, convert=int, length=2, minimum=1)


@dataclasses.dataclass(frozen=True)
class RefineNetOptions(ArchitectureOptions):
    """RefineNet: its blocks, and the units that they are made of."""

    SECTION = "refinenet"

    refinenet_blocks: tuple[str, ...] = option(
        flags.DEFINE_multi_string,
        ("32,16", "8,4"),
        "Features of the backbone that one block joins with the output of the block before, comma "
        "separated; repeat the flag, from coarse to fine. A feature is a stride (32) or a layer of "
        "the backbone (layer4, conv5_block3_out).",
    )
    refinenet_reduce_channel_scale: int = option(
        flags.DEFINE_integer,
        4,
        "Channels of a block's inputs / channels of its units; the output of a block has the "
        "channels of its narrowest input divided by it.",
        minimum=1,
    )
    refinenet_raw_mrf_inputs: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether blocks fuse their raw inputs and drop what their first residual units compute, as "
        "the original does; for its old weights.",
    )
    refinenet_rcu_n_layers: int = option(
        flags.DEFINE_integer, 2, "Convolutions of each residual unit (RCU).", minimum=1
    )
    refinenet_rcu_kernel_size: tuple[int, ...] = _pair(
        (3, 3), "Kernel (height,width) of the residual units."
    )
    refinenet_rcu_strides: tuple[int, ...] = _pair(
        (1, 1), "Strides of the residual units; a sum needs 1,1."
    )
    refinenet_rcu_padding: str = option(
        flags.DEFINE_string,
        "same",
        "Padding of the residual units; valid needs a kernel of 1,1.",
        choices=_PADDINGS,
    )
    refinenet_mrf_use_deconv: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether fusion (MRF) enlarges its inputs by transposed convolutions, where those give the "
        "right size; otherwise it resizes bilinearly.",
    )
    refinenet_mrf_kernel_size: tuple[int, ...] = _pair(
        (3, 3), "Kernel (height,width) of all convolutions of the fusion."
    )
    refinenet_mrf_strides: tuple[int, ...] = _pair(
        (1, 1), "Strides of the fusion's convolutions, two equal numbers."
    )
    refinenet_mrf_padding: str = option(
        flags.DEFINE_string, "same", "Padding of the fusion's convolutions.", choices=_PADDINGS
    )
    refinenet_crp_n_pool_blocks: int = option(
        flags.DEFINE_integer, 2, "Poolings of chained residual pooling (CRP).", minimum=1
    )
    refinenet_crp_k_size_pool: tuple[int, ...] = _pair(
        (5, 5), "Window (height,width) of each pooling."
    )
    refinenet_crp_k_size_conv: tuple[int, ...] = _pair(
        (3, 3), "Kernel (height,width) of the convolution after each pooling."
    )
    refinenet_crp_strides: tuple[int, ...] = _pair(
        (1, 1), "Strides of chained residual pooling; a sum needs 1,1."
    )
    refinenet_crp_padding: str = option(
        flags.DEFINE_string,
        "same",
        "Padding of chained residual pooling; valid needs windows and kernels of 1,1.",
        choices=_PADDINGS,
    )

    @property
    def blocks(self) -> list[list[str]]:
        """The names of the features of each block."""
        return [[name.strip() for name in block.split(",")] for block in self.refinenet_blocks]

    def check(self):
        """Raises OptionError for blocks without features, and where terms of a sum would differ."""
        if not self.blocks or not all(name for block in self.blocks for name in block):
            raise OptionError(
                f"--refinenet_blocks is {' '.join(self.refinenet_blocks)!r}, but each block needs "
                "one feature or more, separated by commas."
            )
        for unit, sizes in {
            "rcu": ("refinenet_rcu_kernel_size",),
            "crp": ("refinenet_crp_k_size_pool", "refinenet_crp_k_size_conv"),
        }.items():
            self._check_sum(f"refinenet_{unit}_strides", f"refinenet_{unit}_padding", sizes)
        if len(set(self.refinenet_mrf_strides)) > 1:
            raise OptionError(
                f"--refinenet_mrf_strides is {_joined(self.refinenet_mrf_strides)}, but both must "
                "be equal."
            )

    def _check_sum(self, strides, padding, sizes):
        """Refuses what makes the convolved features smaller than those they are added to."""
        if getattr(self, strides) != (1, 1):
            raise OptionError(
                f"--{strides} is {_joined(getattr(self, strides))}, but what is added must have "
                "the size of the input; pass 1,1."
            )
        for name in sizes:
            if getattr(self, padding) == "valid" and getattr(self, name) != (1, 1):
                raise OptionError(
                    f"--{padding}=valid with --{name}={_joined(getattr(self, name))} changes the "
                    f"size of what is added; pass --{padding}=same, or a size of 1,1."
                )


def _joined(values) -> str:
    return ",".join(str(value) for value in values)


VARIANTS = {"refinenet": RefineNetOptions}

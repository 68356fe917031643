"""One process on CPU, alone or as a rank of a cluster."""

from __future__ import annotations

import os

from deployment.backend import Backend
from deployment.ranks import cluster, membership
from deployment.ranks.single_process import Alone
from options.device import DeviceOptions
from utils import compat
from utils.compat import tf
from utils.errors import OptionError

# Names in /proc/cpuinfo of the instructions that make bf16 faster than fp32.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


class CpuBackend(Backend):
    """One process on CPU, in fp32 or bf16."""

    # What one run leaves idle between its parallel parts, another one uses.
    runs_at_once = 2

    def __init__(self, options: DeviceOptions, group: Alone | None = None):
        super().__init__(options, group)
        self.precision_modes = {"fp32": None, "bf16": _why_no_bf16()}

    def session_config(self, *arguments, **options) -> tf.ConfigProto:
        """Returns the configuration of a session.

        In bf16 TensorFlow rewrites the graph before it runs: convolutions and matrix products, and
        what stands between them, compute in bf16. Variables, the statistics of batch norm, softmax,
        loss and update stay fp32.
        """
        config = super().session_config(*arguments, **options)
        if self.precision == "bf16":
            rewrites = config.graph_options.rewrite_options
            rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
        return config


def _why_no_bf16() -> str | None:
    """Returns why this machine cannot train faster in bf16, or None if it can."""
    missing = compat.why_no_bf16_on_cpu()
    if missing is None and not any(name in _instructions() for name in _BF16_INSTRUCTIONS):
        missing = (
            "this processor has no bf16 instructions "
            f"({' or '.join(_BF16_INSTRUCTIONS)}), without which bf16 is slower"
        )
    return missing


def _instructions() -> list:
    """Returns the names of the processor's instruction sets, as Linux knows them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return []
    return lines[0].split() if lines else []


def create(options: DeviceOptions) -> Backend:
    """Returns the CPU backend.

    Raises:
      OptionError: If an option is for other devices, or another number of ranks was started.
      UserError: If the ranks do not come together.
    """
    if options.loss_scale != "none":
        raise OptionError(
            f"--loss_scale={options.loss_scale} is for fp16, which the CPU does not compute in; "
            "leave the flag out."
        )
    group = cluster.create(membership.from_environment(os.environ), options)
    return CpuBackend(options, group)

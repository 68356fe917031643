"""One process on CPU, by itself or as a rank of a cluster."""

from __future__ import annotations

import os

from deployment.backend import Backend
from deployment.devices import Device
from deployment.ranks import cluster, membership
from deployment.ranks.single_process import SingleProcess
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils import compat
from utils.compat import tf

# Names in /proc/cpuinfo of the instruction sets that make bf16 faster than fp32.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


class CpuBackend(Backend):
    """One process on CPU, in fp32 or bf16."""

    # A second run uses the cores that the first leaves idle between its parallel operations.
    runs_at_once = 2

    def __init__(self, options: DeviceOptions, group: SingleProcess | None = None):
        super().__init__(options, group)
        self.precision_modes = {"fp32": None, "bf16": _why_no_bf16()}

    def session_config(self, *arguments, **options) -> tf.ConfigProto:
        """Returns the configuration of a session.

        In bf16 TensorFlow rewrites the graph before it runs: convolutions, matrix products and the
        operations between them compute in bf16. Variables, batch norm statistics, softmax, loss
        and updates stay fp32.
        """
        config = super().session_config(*arguments, **options)
        if self.precision == "bf16":
            rewrites = config.graph_options.rewrite_options
            rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
        return config


def _why_no_bf16() -> str | None:
    """Returns why bf16 does not speed up training on this machine, or None if it does."""
    missing = compat.why_no_bf16_on_cpu()
    if missing is None and not any(name in _instructions() for name in _BF16_INSTRUCTIONS):
        missing = (
            "this processor lacks the bf16 instructions "
            f"({' or '.join(_BF16_INSTRUCTIONS)}), without which bf16 is slower than fp32"
        )
    return missing


def _instructions() -> list:
    """Returns the processor's instruction sets as listed in /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return []
    return lines[0].split() if lines else []


def create(options: DeviceOptions, ranks: RankOptions | None) -> Backend:
    """Returns the CPU backend.

    Raises:
      OptionError: If the number of processes differs from `--rank`.
      UserError: If the ranks do not find each other.
    """
    group = cluster.create(membership.from_environment(os.environ), ranks) if ranks else None
    return CpuBackend(options, group)


VARIANTS = {
    "cpu": Device(
        create=create, is_available=lambda: True, preference=0, flags=cluster.OPTION_NAMES
    )
}

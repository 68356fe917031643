"""One process on one NVIDIA GPU, by itself or as a rank of a cluster.

Unlike on CPU, memory is allocated as needed, fp16 uses TensorFlow's graph rewriting with loss
scaling, and each process uses one GPU. This was written without a GPU; docs/gpu.md describes what
was tested and how.
"""

from __future__ import annotations

import ctypes
import os

from absl import logging

from deployment.backend import Backend
from deployment.devices import Device, loss_scaling
from deployment.ranks import cluster, membership
from deployment.ranks.single_process import SingleProcess
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils import compat
from utils.compat import tf
from utils.errors import OptionError

_VISIBLE = "CUDA_VISIBLE_DEVICES"
# The lowest compute capability for which TensorFlow rewrites graphs to fp16; below it the graph
# silently stays fp32 (auto_mixed_precision.cc).
_LOWEST_FOR_FP16 = (7, 0)
_LOWEST_FOR_BF16 = (8, 0)


def is_available() -> bool:
    """Whether TensorFlow finds a GPU; its GPU libraries are loaded only if there is a driver."""
    return compat.is_built_with_cuda() and _has_driver() and bool(compat.visible_gpus())


def create(options: DeviceOptions, ranks: RankOptions | None) -> Backend:
    """Returns the GPU backend of this process.

    Raises:
      OptionError: If there is no such GPU, or it does not support what the options ask for.
      UserError: If the ranks do not find each other.
    """
    loss_scaling.check(options.loss_scale)
    if options.loss_scale != "none" and options.precision_mode != "fp16":
        raise OptionError(
            f"--loss_scale={options.loss_scale} needs --precision_mode=fp16; pass both or neither."
        )
    gpus = _visible_gpus()
    place = membership.from_environment(os.environ) if ranks else membership.Membership()
    index = choose(options.gpu, len(gpus), local_rank=place.local_rank, ranks=place.ranks)
    if options.tf32 is not None:
        _set_tf32(options.tf32)
    group = cluster.create(place, ranks, "/gpu:0") if ranks else None
    return GpuBackend(options, index, gpus[index], group)


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _visible_gpus() -> list:
    """Returns the GPUs that TensorFlow finds; raises OptionError if there are none."""
    reason = why_no_gpu()
    if reason is not None:
        raise OptionError(f"--device=gpu: {reason}, or pass --device=cpu.")
    return compat.visible_gpus()


def why_no_gpu() -> str | None:
    """Returns why TensorFlow finds no GPU, and what to do; None if it finds one."""
    if not compat.is_built_with_cuda():
        return (
            f"this TensorFlow ({tf.__version__}) was built without CUDA; install "
            "requirements/gpu.txt (scripts/environment.sh gpu)"
        )
    if not _has_driver():
        return (
            "NVIDIA's driver (libcuda.so.1) is missing; install it, or start the container with "
            "its GPUs (docker run --gpus=all)"
        )
    text = os.environ.get(_VISIBLE)
    if text is not None and text.strip() in ("", "-1"):
        return f"{_VISIBLE}={text} hides all GPUs; unset it"
    if not compat.visible_gpus():
        return (
            "the driver is installed, but TensorFlow finds no GPU; "
            "TF_CPP_MIN_LOG_LEVEL=0 python doctor.py --device=gpu lists missing libraries"
        )
    return None


def choose(requested: int | None, count: int, *, local_rank: int = 0, ranks: int = 1) -> int:
    """Returns the index of this process's GPU among the visible ones.

    Args:
      requested: `--gpu`; None takes the first GPU, or the one with this process's local rank.
      count: Number of visible GPUs. Where each of several processes sees just one, it uses that.
      local_rank: Number of this process on its host.
      ranks: Number of processes that train together.

    Raises:
      OptionError: If there is none for this process.
    """
    if requested is not None and ranks > 1:
        raise OptionError(
            f"--gpu={requested} is for a single process, but {ranks} train together; pass "
            "--device_ids to the launcher instead."
        )
    index = requested if requested is not None else local_rank if count > 1 else 0
    if index >= count:
        what = "--gpu" if requested is not None else "the local rank of this process"
        raise OptionError(
            f"{what} is {index}, but TensorFlow finds {count} GPU{'s' * (count > 1)}: 0 to "
            f"{count - 1}; {_VISIBLE} is {os.environ.get(_VISIBLE, 'not set')}."
        )
    return index


def _set_tf32(allowed: bool):
    if not compat.set_tf32(allowed):
        raise OptionError(
            f"--{'' if allowed else 'no'}tf32: TensorFlow {tf.__version__} has no switch for TF32; "
            "remove the flag."
        )


class GpuBackend(Backend):
    """One process on one GPU, in fp32 or in fp16 with fp32 weights."""

    name = "gpu"
    # cuDNN has kernels for every convolution and its gradients, also the atrous ones.
    formulation = "native"

    def __init__(
        self,
        options: DeviceOptions,
        index: int,
        gpu: compat.Gpu,
        group: SingleProcess | None = None,
    ):
        """Prepares a GPU.

        Args:
          options: The device's options.
          index: Index of the GPU among the visible ones.
          gpu: Its model and compute capability.
          group: The processes that train together.
        """
        super().__init__(options, group)
        self.precision_modes = precision_modes(gpu)
        self.skips_overflow = options.loss_scale != "none"
        self._index = index
        self._gpu = gpu

    def start(self):
        """Starts the group, and logs the GPU and its precision."""
        super().start()
        logging.info("GPU %d: %s, %s.", self._index, self._gpu.name, self.precision)

    def session_config(self, *arguments, **options) -> tf.ConfigProto:
        """Returns the configuration of a session.

        In fp16 TensorFlow rewrites the graph before it runs: convolutions, matrix products and the
        operations between them compute in fp16. Variables, batch norm statistics, softmax, loss
        and updates stay fp32.
        """
        config = super().session_config(*arguments, **options)
        del config.device_count["GPU"]
        config.gpu_options.allow_growth = True
        config.gpu_options.visible_device_list = str(self._index)
        if self.precision == "fp16":
            rewrites = config.graph_options.rewrite_options
            rewrites.auto_mixed_precision = rewrites.ON
        return config

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer that averages over ranks, and scales the loss by `--loss_scale`."""
        optimizer = super().wrap_optimizer(optimizer)
        scale = self.options.loss_scale
        if scale == "none":
            if self.precision == "fp16":
                logging.warning(
                    "--precision_mode=fp16 without --loss_scale: gradients below 6e-8 become zero; "
                    "pass --loss_scale=dynamic."
                )
            return optimizer
        return loss_scaling.LossScaling(optimizer, fixed=loss_scaling.check(scale))


def precision_modes(gpu: compat.Gpu) -> dict:
    """Returns the values of `--precision_mode`: name -> why a GPU does not support it, or None."""
    return {"fp32": None, "fp16": _why_no_fp16(gpu), "bf16": _why_no_bf16(gpu)}


def _why_no_fp16(gpu: compat.Gpu) -> str | None:
    if gpu.capability is None or gpu.capability >= _LOWEST_FOR_FP16:
        return None
    return (
        f"{gpu.name} has compute capability {dotted(gpu.capability)}, but TensorFlow's fp16 needs "
        f"{dotted(_LOWEST_FOR_FP16)}"
    )


def _why_no_bf16(gpu: compat.Gpu) -> str:
    if gpu.capability is not None and gpu.capability < _LOWEST_FOR_BF16:
        return (
            f"{gpu.name} has compute capability {dotted(gpu.capability)}, but bf16 needs "
            f"{dotted(_LOWEST_FOR_BF16)}"
        )
    return "TensorFlow supports bf16 on CPUs only; use fp16 or TF32 on this GPU"


def dotted(capability: tuple) -> str:
    """Returns a compute capability as NVIDIA writes it, such as 8.0."""
    return ".".join(str(part) for part in capability)


VARIANTS = {
    "gpu": Device(
        create=create,
        is_available=is_available,
        preference=1,
        flags=(*cluster.OPTION_NAMES, "gpu", "tf32", "loss_scale"),
    )
}

"""The options of the device that runs the network."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class DeviceOptions(Options):
    """Which device, and how it computes."""

    SECTION = "device"

    device: str = option(
        flags.DEFINE_string,
        "auto",
        "Device that the network runs on: cpu, gpu, npu, or auto, which takes the best available.",
        changeable=True,
    )
    precision_mode: str = option(
        flags.DEFINE_string,
        "auto",
        "Numeric precision: auto (fp32; on NPU allow_mix_precision), fp32, bf16, fp16, or a mode "
        "of the NPU adapter, if the device supports it. Weights stay fp32.",
        changeable=True,
    )
    intra_op_threads: int = option(
        flags.DEFINE_integer,
        0,
        "Threads of one operation; 0: all cores.",
        minimum=0,
        changeable=True,
    )
    inter_op_threads: int = option(
        flags.DEFINE_integer,
        0,
        "Operations that run concurrently; 0: TensorFlow's default.",
        minimum=0,
        changeable=True,
    )
    loss_scale: str = option(
        flags.DEFINE_string,
        "none",
        "GPU and NPU: loss scaling for half precision: none, dynamic or a number.",
    )
    gpu: int | None = option(
        flags.DEFINE_integer,
        None,
        "GPU: index of the GPU among those visible by CUDA_VISIBLE_DEVICES, from 0; unset: the "
        "first, or that of the process's local rank.",
        minimum=0,
        changeable=True,
    )
    tf32: bool | None = option(
        flags.DEFINE_bool,
        None,
        "GPU: allow TF32 for fp32 products (from compute capability 8.0 on); unset: TensorFlow's "
        "default, which allows it.",
        changeable=True,
    )
    npu_option: tuple[str, ...] = option(
        flags.DEFINE_multi_string,
        (),
        "NPU: a session option of the adapter as KEY=VALUE; repeat the flag for more.",
        changeable=True,
    )
    npu_dump_path: str | None = option(
        flags.DEFINE_string,
        None,
        "NPU: folder for dumps of the inputs and outputs of all operations, tens of GB per step.",
        changeable=True,
    )
    npu_dump_step: str = option(
        flags.DEFINE_string,
        "0",
        "NPU: steps to dump, such as 0|5|10-20.",
        changeable=True,
    )
    npu_overflow_path: str | None = option(
        flags.DEFINE_string,
        None,
        "NPU: folder for dumps of operations that overflow.",
        changeable=True,
    )
    npu_profile_path: str | None = option(
        flags.DEFINE_string, None, "NPU: folder for the device's profile.", changeable=True
    )
    npu_tune_path: str | None = option(
        flags.DEFINE_string,
        None,
        "NPU: folder for kernels that are tuned before training, which takes hours.",
        changeable=True,
    )

"""The options of the device that a step runs on."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class DeviceOptions(Options):
    """Which device, and how many processes."""

    SECTION = "device"

    device: str = option(
        flags.DEFINE_string,
        "auto",
        "Device that the network runs on: cpu, gpu, npu, or auto, which takes the best available.",
        changeable=True,
    )
    rank: int = option(
        flags.DEFINE_integer,
        1,
        "Number of processes that train together (the name is the reference's).",
        minimum=1,
    )
    precision_mode: str = option(
        flags.DEFINE_string,
        "auto",
        "How numbers are computed: auto (fp32; on NPU allow_mix_precision), fp32, bf16, fp16, or "
        "a mode of the NPU adapter, where the device knows it. Weights stay fp32.",
        changeable=True,
    )
    intra_op_threads: int = option(
        flags.DEFINE_integer,
        0,
        "Threads within one operation; 0: all cores.",
        minimum=0,
        changeable=True,
    )
    inter_op_threads: int = option(
        flags.DEFINE_integer,
        0,
        "Operations side by side; 0: TensorFlow's choice.",
        minimum=0,
        changeable=True,
    )
    all_reduce_bucket_mb: float = option(
        flags.DEFINE_float,
        16.0,
        "CPU and GPU, several ranks: gradients are sent in messages of about so many MB, which "
        "leave while the others are still computed.",
        above=0.0,
        changeable=True,
    )
    all_reduce_by: str = option(
        flags.DEFINE_string,
        "auto",
        "CPU and GPU, several ranks: what sums over ranks. nccl is for GPUs; auto is TensorFlow's "
        "choice.",
        choices=("auto", "ring", "nccl"),
        changeable=True,
    )
    check_weights_steps: int = option(
        flags.DEFINE_integer,
        1000,
        "CPU and GPU, several ranks: steps between two checks that all hold the same weights to "
        "the bit; 0: no checks.",
        minimum=0,
        changeable=True,
    )
    join_timeout_secs: float = option(
        flags.DEFINE_float,
        300.0,
        "CPU and GPU, several ranks: seconds that all have to come together.",
        above=0.0,
        changeable=True,
    )
    rank_timeout_secs: float = option(
        flags.DEFINE_float,
        30.0,
        "CPU and GPU, several ranks: seconds without a sign of life after which a rank counts as "
        "lost, and all end.",
        minimum=3.0,
        changeable=True,
    )
    loss_scale: str = option(
        flags.DEFINE_string,
        "none",
        "Factor on the loss before gradients are computed: none, dynamic or a number; for half "
        "precision.",
    )
    gpu: int | None = option(
        flags.DEFINE_integer,
        None,
        "GPU: number of the GPU among those that CUDA_VISIBLE_DEVICES shows, from 0; unset: the "
        "first, or each process's own.",
        minimum=0,
        changeable=True,
    )
    tf32: bool | None = option(
        flags.DEFINE_bool,
        None,
        "GPU: whether fp32 products may be rounded to TF32 (from compute capability 8.0 on); "
        "unset: TensorFlow's choice, which is yes.",
        changeable=True,
    )
    npu_option: tuple[str, ...] = option(
        flags.DEFINE_multi_string,
        (),
        "NPU: one more session option of the adapter as KEY=VALUE; repeat the flag.",
        changeable=True,
    )
    npu_dump_path: str | None = option(
        flags.DEFINE_string,
        None,
        "NPU: folder to dump inputs and outputs of all operations to, tens of GB a step.",
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
        "NPU: folder to dump operations that overflow to.",
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

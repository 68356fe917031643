"""TensorFlow 1.15, 2.6 and 2.21 behind one interface; only this file depends on the version.

`tf` is the TF 1 API in graph mode and `slim` is tf-slim, the same on every version. All other
modules import both from here; differences between versions are functions below.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import NamedTuple

# TensorFlow decides whether to use oneDNN, and does so on processors with AVX-512 and VNNI: without
# AVX-512 oneDNN's fused convolutions are ten times as slow as Eigen's. See
# docs/decisions/0013-kernels-that-tensorflow-chooses.md.
#
# Hides startup messages of the runtime, but not errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def _quiet_standard_error():
    """Hides the output of native code while TensorFlow is imported, unless the import fails.

    TF 2.21 writes messages before it reads its log level.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(kept, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


with _quiet_standard_error():
    import tensorflow.compat.v1 as tf

# Hides deprecation warnings: this code base uses the old API on purpose.
tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()

with _quiet_standard_error():
    import tf_slim as slim

__all__ = [
    "VERSION",
    "Gpu",
    "add_control_input",
    "all_reduce",
    "broadcast",
    "has_native_atrous_gradient",
    "has_new_tflite_converter",
    "host_session",
    "is_built_with_cuda",
    "is_tested",
    "matmul_prefers_wide_results",
    "pythons_of_npu_adapter",
    "set_tf32",
    "slim",
    "start_profile",
    "stop_profile",
    "tf",
    "uses_onednn",
    "visible_gpus",
    "why_no_bf16_on_cpu",
]

# (major, minor), for example (2, 21).
VERSION = tuple(int(part) for part in tf.__version__.split(".")[:2])


def uses_onednn() -> bool:
    """Whether CPU kernels are oneDNN's rather than Eigen's.

    `TF_ENABLE_ONEDNN_OPTS` in the environment decides. If it is not set, TF 2.21 decides by the
    processor's instructions, and 2.6 and 1.15 use Eigen. TF 2.6 has no function that tells; 1.15
    has no choice. On some processors (a virtual AMD EPYC) oneDNN of 2.6 divides by zero, or
    silently leaves batch norm's output unwritten.
    """
    if VERSION[0] == 1:
        return False
    if VERSION < (2, 9):
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower() in ("1", "true")
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def has_native_atrous_gradient() -> bool:
    """Whether `tf.nn.conv2d(..., dilations=...)` can be trained on a CPU.

    Only oneDNN's kernels have that gradient; Eigen's raise an error, on every version.
    """
    return uses_onednn()


def has_new_tflite_converter() -> bool:
    """Whether TFLite's converter is that of TF 2.

    TF 1.15's aborts on a uint8 input before float arithmetic, and lacks the 8-bit form of some
    operations (a ReLU6 that it does not fuse with a convolution).
    """
    return VERSION[0] > 1


def host_session(graph: tf.Graph | None = None) -> tf.Session:
    """Returns a session that does not use GPUs, for work on the host.

    The first session that uses GPUs sets their configuration for the whole process.
    """
    return tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))


def add_control_input(operation: tf.Operation, earlier: tf.Operation):
    """Makes an existing operation wait for another one.

    This private method exists on every version; public functions affect only later operations.
    """
    operation._add_control_input(earlier)


def all_reduce(
    tensor: tf.Tensor, ranks: int, group_key: int, instance_key: int, *, is_mean: bool, hint: str
) -> tf.Tensor:
    """Returns the sum or the mean of a tensor over all ranks, the same bits on each.

    Args:
      tensor: With an explicit device, as TF 1.15 requires; float32, float64, int32 or int64.
      ranks: Number of ranks; more than 1.
      group_key: Number of the group of ranks.
      instance_key: Unique number of this operation, the same on all ranks.
      is_mean: Whether to return the mean instead of the sum.
      hint: "auto", "ring" or "nccl".
    """
    from tensorflow.python.ops import collective_ops

    # The first version of these operations, the only one in all versions of TensorFlow.
    final = "Div" if is_mean else "Id"
    return collective_ops.all_reduce(
        tensor, ranks, group_key, instance_key, "Add", final, communication_hint=hint
    )


def broadcast(
    tensor: tf.Tensor, ranks: int, group_key: int, instance_key: int, *, sends: bool, hint: str
) -> tf.Tensor:
    """Returns the tensor of the sending rank on all ranks.

    Args:
      tensor: As for `all_reduce`, with a static shape; on receiving ranks only shape and type are
        used.
      ranks: Number of ranks; more than 1.
      group_key: Number of the group of ranks.
      instance_key: Unique number of this operation, the same on all ranks.
      sends: Whether this rank sends; exactly one does.
      hint: "auto", "ring" or "nccl".
    """
    from tensorflow.python.ops import collective_ops

    arguments = (tensor.shape, tensor.dtype, ranks, group_key, instance_key)
    if sends:
        return collective_ops.broadcast_send(tensor, *arguments, communication_hint=hint)
    return collective_ops.broadcast_recv(*arguments, communication_hint=hint)


def start_profile(folder: str):
    """Starts to trace this process; `stop_profile` writes the trace for TensorBoard.

    Args:
      folder: The trace is written to its subfolder `plugins/profile`.
    """
    if VERSION[0] == 1:
        from tensorflow.python.eager import profiler

        profiler.start()
    else:
        from tensorflow import profiler

        profiler.experimental.start(folder)


def stop_profile(folder: str):
    """Ends a trace and writes it.

    Args:
      folder: As for `start_profile`.
    """
    if VERSION[0] == 1:
        from tensorflow.python.eager import profiler

        profiler.save(folder, profiler.stop())
    else:
        from tensorflow import profiler

        profiler.experimental.stop()


def matmul_prefers_wide_results() -> bool:
    """Whether a^T b is faster as (b^T a)^T if it is taller than wide.

    True for Eigen's kernels (1024x256 from 578 pixels: 81 instead of 59 GFLOP/s on one core), not
    for oneDNN's.
    """
    return not uses_onednn()


def why_no_bf16_on_cpu() -> str | None:
    """Returns why this TensorFlow cannot compute in bf16 on CPU, or None if it can.

    Both the kernels and the graph rewriting need oneDNN.
    """
    if VERSION < (2, 9):
        return f"TensorFlow {tf.__version__} has no bf16 kernels for CPU"
    if not uses_onednn():
        return "TensorFlow does not use oneDNN (set TF_ENABLE_ONEDNN_OPTS=1)"
    return None


class Gpu(NamedTuple):
    """A GPU that TensorFlow finds.

    Attributes:
      name: Its model, such as "NVIDIA A100-SXM4-40GB".
      capability: Its compute capability, such as (8, 0); None if TensorFlow does not report it.
    """

    name: str
    capability: tuple | None


def is_built_with_cuda() -> bool:
    """Whether this TensorFlow supports NVIDIA GPUs."""
    return tf.test.is_built_with_cuda()


def visible_gpus() -> list:
    """Returns the GPUs that TensorFlow finds, each a `Gpu`, without allocating memory on them.

    TensorFlow reports a GPU's model and compute capability from 2.4 on.
    """
    experimental = tf.config.experimental
    tell = getattr(experimental, "get_device_details", lambda unused_device: {})
    found = []
    for device in experimental.list_physical_devices("GPU"):
        details = tell(device)
        name = details.get("device_name", device.name)
        found.append(Gpu(name, details.get("compute_capability")))
    return found


def set_tf32(allowed: bool) -> bool:
    """Allows or forbids TF32 (10 bits of mantissa) for fp32 products on GPUs that support it.

    Returns:
      Whether this TensorFlow has the switch, as versions from 2.4 on do.
    """
    switch = getattr(tf.config.experimental, "enable_tensor_float_32_execution", None)
    if switch is None:
        return False
    switch(allowed)
    return True


def is_tested() -> bool:
    """Whether the tests of this project run on this TensorFlow."""
    return VERSION in ((1, 15), (2, 6), (2, 21))


def pythons_of_npu_adapter() -> tuple:
    """Returns the Python versions that the Ascend adapter for this TensorFlow supports."""
    return {(1, 15): ("3.7",), (2, 6): ("3.7", "3.8", "3.9")}.get(VERSION, ())

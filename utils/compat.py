"""The only file that knows TensorFlow versions: 1.15, 2.6 and 2.21 behind one name.

`tf` is the TF 1 API in graph mode and `slim` is tf-slim, the same objects on every version. All
other modules take both from here; what differs between versions is a named function below.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import NamedTuple

# Whether convolutions run by oneDNN is left to TensorFlow, which takes it where the processor has
# AVX-512 with VNNI: without AVX-512 its fused convolutions are ten times as slow as Eigen's. See
# docs/decisions/0013-kernels-that-tensorflow-chooses.md.
#
# Start-up chatter of the runtime; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def _quiet_standard_error():
    """Holds back what native code writes while TensorFlow is loaded; shown if loading fails.

    TF 2.21 writes notices before it reads its log level.
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

# TensorFlow's own notices of deprecation: this code base chooses the old API on purpose.
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
    """Whether kernels for CPU are oneDNN's rather than Eigen's.

    `TF_ENABLE_ONEDNN_OPTS` in the environment decides. Where it is not set TF 2.21 goes by the
    processor's instructions, and 2.6 and 1.15 take Eigen's. TF 2.6 does not tell; 1.15 has no
    choice. On some processors (a virtual AMD EPYC) oneDNN of 2.6 divides by zero, or leaves batch
    norm's output unwritten and says nothing.
    """
    if VERSION[0] == 1:
        return False
    if VERSION < (2, 9):
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower() in ("1", "true")
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def has_native_atrous_gradient() -> bool:
    """Whether `tf.nn.conv2d(..., dilations=...)` can be trained on a CPU.

    Only oneDNN's kernels have it; Eigen's refuse, on every version.
    """
    return uses_onednn()


def has_new_tflite_converter() -> bool:
    """Whether TFLite's converter is that of TF 2.

    TF 1.15's aborts on a uint8 input before float arithmetic, and has no 8-bit form of some
    operations (a ReLU6 that it does not merge with a convolution).
    """
    return VERSION[0] > 1


def host_session(graph: tf.Graph | None = None) -> tf.Session:
    """Returns a session that leaves GPUs alone, for what the host does beside a device.

    A process has one configuration of its GPUs, which the first session that uses them sets.
    """
    return tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))


def add_control_input(operation: tf.Operation, earlier: tf.Operation):
    """Makes an operation that exists already wait for another one.

    The same private method on every version; the public ways order only what is built later.
    """
    operation._add_control_input(earlier)


def all_reduce(
    tensor: tf.Tensor, ranks: int, group_key: int, instance_key: int, *, is_mean: bool, hint: str
) -> tf.Tensor:
    """Returns the sum or the mean of a tensor over all ranks, the same bits on each.

    Args:
      tensor: Of a device that is stated, as TF 1.15 demands; float32, float64, int32 or int64.
      ranks: Number of ranks; more than 1.
      group_key: Number of the group of ranks.
      instance_key: Number of this operation, the same in all ranks and no other's.
      is_mean: Whether the mean is returned, else the sum.
      hint: "auto", "ring" or "nccl".
    """
    from tensorflow.python.ops import collective_ops

    # The first interface of these operations, the only one that all versions have.
    final = "Div" if is_mean else "Id"
    return collective_ops.all_reduce(
        tensor, ranks, group_key, instance_key, "Add", final, communication_hint=hint
    )


def broadcast(
    tensor: tf.Tensor, ranks: int, group_key: int, instance_key: int, *, sends: bool, hint: str
) -> tf.Tensor:
    """Returns on all ranks the tensor of the one that sends.

    Args:
      tensor: As for `all_reduce`, with a static shape; of those that receive only shape and type
        count.
      ranks: Number of ranks; more than 1.
      group_key: Number of the group of ranks.
      instance_key: Number of this operation, the same in all ranks and no other's.
      sends: Whether this rank sends; one does.
      hint: "auto", "ring" or "nccl".
    """
    from tensorflow.python.ops import collective_ops

    arguments = (tensor.shape, tensor.dtype, ranks, group_key, instance_key)
    if sends:
        return collective_ops.broadcast_send(tensor, *arguments, communication_hint=hint)
    return collective_ops.broadcast_recv(*arguments, communication_hint=hint)


def start_profile(folder: str):
    """Starts to trace what this process runs; `stop_profile` writes it for TensorBoard.

    Args:
      folder: TensorBoard finds the trace in its folder `plugins/profile`.
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
      folder: As given to `start_profile`.
    """
    if VERSION[0] == 1:
        from tensorflow.python.eager import profiler

        profiler.save(folder, profiler.stop())
    else:
        from tensorflow import profiler

        profiler.experimental.stop()


def matmul_prefers_wide_results() -> bool:
    """Whether a^T b is faster as (b^T a)^T where it is taller than wide.

    So it is with Eigen's kernels (1024x256 from 578 pixels: 81 instead of 59 GFLOP/s on one core),
    not with oneDNN's.
    """
    return not uses_onednn()


def why_no_bf16_on_cpu() -> str | None:
    """Returns why this TensorFlow cannot compute in bf16 on CPU, or None if it can.

    Both the kernels and the rewriting of graphs come with oneDNN.
    """
    if VERSION < (2, 9):
        return f"TensorFlow {tf.__version__} has no such kernels for CPU"
    if not uses_onednn():
        return "TensorFlow does not use oneDNN (TF_ENABLE_ONEDNN_OPTS=1 makes it)"
    return None


class Gpu(NamedTuple):
    """A GPU that TensorFlow sees.

    Attributes:
      name: Its model, such as "NVIDIA A100-SXM4-40GB".
      capability: Its compute capability, such as (8, 0); None where TensorFlow does not tell.
    """

    name: str
    capability: tuple | None


def is_built_with_cuda() -> bool:
    """Whether this TensorFlow can use NVIDIA's GPUs."""
    return tf.test.is_built_with_cuda()


def visible_gpus() -> list:
    """Returns the GPUs that TensorFlow sees, each a `Gpu`; takes none of their memory.

    TensorFlow tells a GPU's model and compute capability from 2.4 on.
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
    """Allows or forbids fp32 products with TF32's 10 bits of mantissa, on GPUs that have it.

    Returns:
      Whether this TensorFlow has the switch; it came with 2.4.
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
    """Returns the Pythons that the Ascend adapter of this TensorFlow is made for, if it has one."""
    return {(1, 15): ("3.7",), (2, 6): ("3.7", "3.8", "3.9")}.get(VERSION, ())

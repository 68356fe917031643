"""Ascend NPU, through CANN's TensorFlow adapter: npu_bridge on 1.15, npu_device on 2.6.

This is the only file that uses the adapter. It is imported when the device is created, as modules,
never by `import *`. One process drives one device. A session with the adapter's entry in its
configuration compiles the graph after the input pipeline for the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import os

import numpy as np
from absl import logging

from deployment.backend import Backend
from deployment.devices import (
    Device,
    loss_scaling,
    npu_keys,
    npu_loss_scale,
    npu_parameters,
    npu_ranks,
)
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils.compat import tf
from utils.errors import OptionError, UserError

# Adapter package -> the package with its modules for TensorFlow 1 graphs and sessions.
_ADAPTERS = {"npu_bridge": "npu_bridge", "npu_device": "npu_device.compat.v1"}
# The adapter's native code finds the training step of a loop by this operation name.
_LOOP_OPERATION = "IterationOp"
# Values of --precision_mode besides the adapter's own -> the adapter's value.
_COMMON_PRECISION = {
    "fp32": "must_keep_origin_dtype",
    "fp16": "allow_mix_precision",
    "bf16": "allow_mix_precision_bf16",
}
# Integers are summed as two int32 halves.
_HALF_BITS = 16


def is_available() -> bool:
    """Whether an adapter is installed and the environment variables are those of an NPU host."""
    variables = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_DEVICE_ID", "RANK_TABLE_FILE")
    return _installed() is not None and any(name in os.environ for name in variables)


def create(options: DeviceOptions, ranks: RankOptions | None) -> Backend:
    """Returns the NPU backend of this process.

    Raises:
      OptionError: If the adapter is missing or an option cannot be used with it.
      UserError: If the environment does not define the rank of this process.
    """
    parameters = npu_parameters.of_flags(options)
    loss_scaling.check(options.loss_scale)
    place = npu_ranks.read(os.environ, ranks.rank) if ranks else npu_ranks.Ranks(0, 1)
    adapter = _load()
    if place.ranks > 1 and "RANK_SIZE" not in os.environ:
        _check_start_without_table(adapter)
    return NpuBackend(options, adapter, place, parameters)


def _check_start_without_table(adapter: _Adapter):
    """Raises UserError if this adapter would silently not average gradients."""
    if not hasattr(adapter.util, "get_ranksize"):
        raise UserError(
            "CM_WORKER_SIZE is set, but this version of the Ascend adapter reads only RANK_SIZE "
            "and would train each rank separately; use a rank table, or update the adapter."
        )


def _installed() -> str | None:
    for package in _ADAPTERS:
        if importlib.util.find_spec(package) is not None:
            return package
    return None


@dataclasses.dataclass(frozen=True)
class _Adapter:
    """The name of the adapter's package, and the modules of it that are used."""

    package: str
    hooks: object
    optimizers: object
    collectives: object
    ops: object
    util: object


@contextlib.contextmanager
def _unpatched_sessions():
    """Undoes the adapter's patch of `tf.Session`, which versions from 2021 on apply when imported.

    The patch sends every session of the process to the device, including those that decode images
    or write checkpoints on the host. Our sessions request the device in their configuration.
    """
    kinds = (tf.Session, tf.InteractiveSession)
    constructors = [kind.__init__ for kind in kinds]
    try:
        yield
    finally:
        for kind, constructor in zip(kinds, constructors):
            kind.__init__ = constructor


def _load() -> _Adapter:
    package = _installed()
    if package is None:
        raise OptionError(
            "--device=npu needs the Ascend adapter, npu_bridge (TensorFlow 1.15) or npu_device "
            "(2.6), which is not on PYTHONPATH; source CANN's set_env.sh, add the adapter's "
            "folder to PYTHONPATH, or pass --device=cpu."
        )
    parts = _ADAPTERS[package]
    try:
        root = importlib.import_module(package)
        with _unpatched_sessions():
            importlib.import_module(f"{parts}.npu_init")
        if package == "npu_device":
            # Loads the operations for TensorFlow 1 graphs.
            root.compat.enable_v1()
        return _Adapter(
            package=package,
            hooks=importlib.import_module(f"{parts}.estimator.npu.npu_hook"),
            optimizers=importlib.import_module(f"{parts}.estimator.npu.npu_optimizer"),
            collectives=importlib.import_module(f"{parts}.hccl.hccl_ops"),
            ops=importlib.import_module(f"{parts}.estimator.npu_ops"),
            util=importlib.import_module(f"{parts}.estimator.npu.util"),
        )
    except (ImportError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"the Ascend adapter {package} cannot be loaded ({error}); source CANN's set_env.sh, "
            "and run python doctor.py."
        ) from error


class NpuBackend(Backend):
    """One process on one NPU, by itself or as a rank of a job."""

    name = "npu"
    # As in the Ascend port, whose published speeds it determines.
    formulation = "space_to_batch"

    def __init__(self, options, adapter: _Adapter, ranks: npu_ranks.Ranks, parameters: dict):
        super().__init__(options)
        self.rank = ranks.rank
        self.ranks = ranks.ranks
        self.skips_overflow = options.loss_scale != "none"
        # The first is the default: an Ascend 910A multiplies matrices in fp16 only.
        modes = ("allow_mix_precision", *npu_keys.PRECISION_MODES, *npu_keys.PRECISION_MODES_V2)
        self.precision_modes = dict.fromkeys((*modes, *_COMMON_PRECISION))
        self._adapter = adapter
        self._parameters = parameters
        self._steps_per_run = 1
        self._system = None

    def start(self):
        """Initializes the device, which HCCL needs.

        The adapter reads process-wide options, such as graph_run_mode, from the first tf.Session,
        which is created here.
        """
        # Without it the adapter's sessions log a warning.
        os.environ.setdefault("JOB_ID", npu_ranks.DEFAULT_JOB)
        with tf.Graph().as_default():
            initialize = self._adapter.ops.initialize_system()
            self._shut_down = self._adapter.ops.shutdown_system()
            self._system = tf.Session(config=self.session_config(is_training=self.trains))
        self._system.run(initialize)

    def stop(self):
        """Releases the device, then closes the session that initialized it."""
        if self._system is None:
            return
        try:
            self._system.run(self._shut_down)
        finally:
            self._system.close()
            self._system = None

    def session_config(
        self, steps_per_run: int = 1, *, is_training: bool = False
    ) -> tf.ConfigProto:
        """Returns the configuration of a session on the device."""
        config = super().session_config(steps_per_run, is_training=is_training)
        config.allow_soft_placement = True
        config.log_device_placement = False
        graph = config.graph_options
        graph.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
        # The adapter does not support graphs that these grappler passes have changed.
        graph.rewrite_options.remapping = graph.rewrite_options.OFF
        graph.rewrite_options.memory_optimization = graph.rewrite_options.OFF
        parameters = {
            "use_off_line": True,
            "mix_compile_mode": False,
            # In training the device fetches the batches itself; in evaluation the host does, since
            # they contain strings (names).
            "enable_data_pre_proc": is_training,
            "iterations_per_loop": steps_per_run,
            "graph_run_mode": 1 if is_training else 0,
            "hcom_parallel": self.ranks > 1,
            **self._precision(),
            **self._parameters,
        }
        npu_keys.fill(config, parameters)
        return config

    def _precision(self) -> dict:
        mode = _COMMON_PRECISION.get(self.precision, self.precision)
        is_second = mode in npu_keys.PRECISION_MODES_V2
        return {"precision_mode_v2" if is_second else "precision_mode": mode}

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer that averages gradients over the ranks, and scales the loss."""
        manager = npu_loss_scale.create(self.options.loss_scale)
        if manager is not None:
            # The adapter's optimizer reads the device's overflow flag: an Ascend 910A saturates,
            # so gradients never become infinite.
            return self._adapter.optimizers.NPUOptimizer(
                optimizer,
                loss_scale_manager=manager,
                is_distributed=self.ranks > 1,
                is_loss_scale=True,
            )
        if self.ranks > 1:
            return self._adapter.optimizers.NPUDistributedOptimizer(optimizer)
        return optimizer

    def hooks(self) -> list:
        """Returns the hooks that set the loop's variables and synchronize the initial weights."""
        hooks = []
        if self._steps_per_run > 1:
            hooks.append(self._adapter.hooks.SetIterationsVarHook(self._steps_per_run))
        if self.ranks > 1:
            hooks.append(self._adapter.hooks.NPUBroadcastGlobalVariablesHook(0, self.rank))
        return hooks

    def train_op(self, train_op: tf.Operation, steps_per_run: int) -> tf.Operation:
        """Returns the operation of a whole loop of steps."""
        self._warn_of_depthwise(train_op.graph)
        self._steps_per_run = steps_per_run
        if steps_per_run == 1:
            return train_op
        with tf.name_scope(None):
            return tf.group(train_op, name=_LOOP_OPERATION)

    def _warn_of_depthwise(self, graph: tf.Graph):
        types = {operation.type for operation in graph.get_operations()}
        if self._adapter.package == "npu_device" and "DepthwiseConv2dNative" in types:
            logging.warning(
                "The porting guide of npu_device lists depthwise convolutions as unsupported. If "
                "compilation fails, use a ResNet with --aspp_with_separable_conv=false and "
                "--decoder_use_separable_conv=false."
            )

    def runs_loop_on_device(self) -> bool:
        """One session run makes all steps of a loop; the host cannot run a single one."""
        return True

    def dropout(self, inputs: tf.Tensor, keep_probability: float) -> tf.Tensor:
        """Returns the device's own dropout, faster than random numbers and a mask."""
        return self._adapter.ops.dropout(inputs, keep_probability)

    def sum_over_ranks(self, array):
        """Returns the sum of an array over all ranks: integers >= 0 exactly, or floats.

        Every version of HCCL sums int32 and float32.
        """
        if self.ranks == 1:
            return array
        array = np.asarray(array)
        if np.issubdtype(array.dtype, np.floating):
            high = array.astype(np.float32)
            high, low = self._sum(np.stack([high, array - high]).astype(np.float32), np.float64)
            return high + low
        array = array.astype(np.int64)
        halves = np.stack([array >> _HALF_BITS, array & ((1 << _HALF_BITS) - 1)])
        high, low = self._sum(halves.astype(np.int32), np.int64)
        return (high << _HALF_BITS) + low

    def _sum(self, array, dtype):
        with tf.Graph().as_default():
            total = self._adapter.collectives.allreduce(tf.constant(array), "sum", fusion=0)
            with tf.Session(config=self.session_config()) as session:
                return session.run(total).astype(dtype)


VARIANTS = {
    "npu": Device(
        create=create,
        is_available=is_available,
        preference=2,
        flags=(
            "loss_scale",
            "npu_option",
            "npu_dump_path",
            "npu_dump_step",
            "npu_overflow_path",
            "npu_profile_path",
            "npu_tune_path",
        ),
    )
}

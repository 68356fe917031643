"""Ascend NPU, by the adapter of CANN: npu_bridge on TensorFlow 1.15, npu_device on 2.6.

The only file that knows the adapter. It is imported when the device is asked for, and as modules:
what it exports is never mixed into other names. One process drives one device; a session with the
adapter's entry in its configuration compiles what comes behind the input pipeline for the device.
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
from deployment.devices import loss_scaling, npu_keys, npu_loss_scale, npu_parameters, npu_ranks
from options.device import DeviceOptions
from utils.compat import tf
from utils.errors import OptionError, UserError

# Adapter package -> the package that holds its parts for graphs and sessions of TensorFlow 1.
_ADAPTERS = {"npu_bridge": "npu_bridge", "npu_device": "npu_device.compat.v1"}
# Name of the node by which the adapter's native side recognises the step of a loop.
_LOOP_OPERATION = "IterationOp"
# What --precision_mode means besides the adapter's own values.
_COMMON_PRECISION = {
    "fp32": "must_keep_origin_dtype",
    "fp16": "allow_mix_precision",
    "bf16": "allow_mix_precision_bf16",
}
# Whole numbers travel as two int32 halves.
_HALF_BITS = 16


def is_available() -> bool:
    """Whether an adapter is installed and the environment is that of a machine with NPUs."""
    variables = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_DEVICE_ID", "RANK_TABLE_FILE")
    return _installed() is not None and any(name in os.environ for name in variables)


def create(options: DeviceOptions) -> Backend:
    """Returns the NPU backend of this process.

    Raises:
      OptionError: If the adapter is missing or an option cannot be used with it.
      UserError: If the environment does not say which rank this process is.
    """
    parameters = npu_parameters.of_flags(options)
    loss_scaling.check(options.loss_scale)
    ranks = npu_ranks.read(os.environ, options.rank)
    adapter = _load()
    if ranks.ranks > 1 and "RANK_SIZE" not in os.environ:
        _check_start_without_table(adapter)
    return NpuBackend(options, adapter, ranks, parameters)


def _check_start_without_table(adapter: _Adapter):
    """Raises UserError if gradients would silently not be averaged."""
    if not hasattr(adapter.util, "get_ranksize"):
        raise UserError(
            "CM_WORKER_SIZE is set, but this version of the Ascend adapter reads RANK_SIZE only "
            "and would train each rank for itself; start with a rank table, or update the adapter."
        )


def _installed() -> str | None:
    for package in _ADAPTERS:
        if importlib.util.find_spec(package) is not None:
            return package
    return None


@dataclasses.dataclass(frozen=True)
class _Adapter:
    """The adapter's package, and the parts of it that are used, each a module."""

    package: str
    hooks: object
    optimizers: object
    collectives: object
    ops: object
    util: object


@contextlib.contextmanager
def _sessions_as_they_are():
    """Takes back what an adapter from 2021 on does to sessions when it is imported.

    It sends every session of the process to the device, those too that read photographs or write a
    checkpoint on the host. Ours say themselves that they run on the device.
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
            "(2.6), which Python does not find; source CANN's set_env.sh and put the adapter's "
            "folder on PYTHONPATH, or pass --device=cpu."
        )
    parts = _ADAPTERS[package]
    try:
        root = importlib.import_module(package)
        with _sessions_as_they_are():
            importlib.import_module(f"{parts}.npu_init")
        if package == "npu_device":
            # Loads the operations of TensorFlow 1 style graphs.
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
            "and see python doctor.py."
        ) from error


class NpuBackend(Backend):
    """One process on one NPU, alone or as a rank of a job."""

    name = "npu"
    # As the Ascend port has it, whose published speeds were made that way.
    formulation = "space_to_batch"

    def __init__(self, options, adapter: _Adapter, ranks: npu_ranks.Ranks, parameters: dict):
        super().__init__(options)
        self.rank = ranks.rank
        self.ranks = ranks.ranks
        self.skips_overflow = options.loss_scale != "none"
        # The first is what auto means: an Ascend 910A multiplies matrices in fp16 only.
        modes = ("allow_mix_precision", *npu_keys.PRECISION_MODES, *npu_keys.PRECISION_MODES_V2)
        self.precision_modes = dict.fromkeys((*modes, *_COMMON_PRECISION))
        self._adapter = adapter
        self._parameters = parameters
        self._steps_per_run = 1
        self._system = None

    def start(self):
        """Initializes the device; HCCL answers only after that.

        The adapter reads options of the whole process, such as the mode of graphs, from the first
        tf.Session, which is made here.
        """
        # Sessions of the adapter only warn without a job's name, its Estimator fails.
        os.environ.setdefault("JOB_ID", npu_ranks.DEFAULT_JOB)
        with tf.Graph().as_default():
            initialize = self._adapter.ops.initialize_system()
            self._shut_down = self._adapter.ops.shutdown_system()
            self._system = tf.Session(config=self.session_config(is_training=self.trains))
        self._system.run(initialize)

    def stop(self):
        """Releases the device, before the session that initialized it is closed."""
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
        # These passes of grappler change the graph in ways that the adapter cannot take.
        graph.rewrite_options.remapping = graph.rewrite_options.OFF
        graph.rewrite_options.memory_optimization = graph.rewrite_options.OFF
        parameters = {
            "use_off_line": True,
            "mix_compile_mode": False,
            # In training the device fetches the batches itself; in evaluation the host does, since
            # names come with them, which are texts.
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
            # The adapter's own reads the device's overflow flag: an Ascend 910A saturates, so that
            # no number ever becomes infinite.
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
        """Returns the hooks that fill the loop's variables and make all ranks start alike."""
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
                "the graph is not compiled, take a ResNet, with --aspp_with_separable_conv=false "
                "and --decoder_use_separable_conv=false."
            )

    def runs_loop_on_device(self) -> bool:
        """One session run makes all steps; the host could not make one alone."""
        return True

    def dropout(self, inputs: tf.Tensor, keep_probability: float) -> tf.Tensor:
        """Returns the device's own dropout, which is faster than random numbers and a mask."""
        return self._adapter.ops.dropout(inputs, keep_probability)

    def sum_over_ranks(self, array):
        """Returns the sum of an array over all ranks: whole numbers >= 0 exactly, or floats.

        HCCL of every version sums int32 and float32.
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

"""The device of the stand-in: how it runs sessions, and what it does not support.

`install` wraps TensorFlow's session: every configuration is checked, the run of an IterationOp is
repeated as on the device, and every operation of a training step is checked against the device's
limits.
"""

import json
import os

import numpy as np

from tests.npu_adapter import collectives
from utils.compat import tf

LOOP_SCOPE = "npu_runconfig"
OPTIMIZER = "NpuOptimizer"
INITIALIZE, SHUT_DOWN = "InitializeSystem", "ShutdownSystem"
LOOP_VARIABLES = ("iterations_per_loop", "loop_cond", "zero", "one")

# Key -> field, as in the real adapter's source; a separate list, to find mistakes in the project's.
_BOOLEANS = [
    "use_off_line",
    "mix_compile_mode",
    "enable_data_pre_proc",
    "hcom_parallel",
    "hcom_multi_mode",
    "is_tailing_optimization",
    "enable_dump",
    "enable_dump_debug",
    "profiling_mode",
    "external_weight",
]
_INTEGERS = [
    "iterations_per_loop",
    "graph_run_mode",
    "hccl_timeout",
    "op_wait_timeout",
    "op_execute_timeout",
    "stream_sync_timeout",
    "event_sync_timeout",
    "graph_exec_timeout",
    "deterministic",
    "enable_small_channel",
    "enable_exception_dump",
    "static_memory_policy",
    "atomic_clean_policy",
    "session_device_id",
    "op_debug_level",
    "topo_sorting_mode",
]
_TEXTS = [
    "precision_mode",
    "precision_mode_v2",
    "modify_mixlist",
    "customize_dtypes",
    "op_precision_mode",
    "op_select_implmode",
    "optypelist_for_implmode",
    "HCCL_algorithm",
    "jit_compile",
    "op_compiler_cache_mode",
    "op_compiler_cache_dir",
    "graph_compiler_cache_dir",
    "dump_path",
    "dump_step",
    "dump_mode",
    "dump_layer",
    "dump_data",
    "dump_debug_mode",
    "profiling_options",
    "aoe_mode",
    "work_path",
    "aoe_config_file",
    "auto_tune_mode",
    "graph_memory_max_size",
    "variable_memory_max_size",
    "memory_optimization_policy",
    "fusion_switch_file",
    "enable_scope_fusion_passes",
    "buffer_optimize",
    "stream_max_parallel_num",
    "op_debug_config",
    "debug_dir",
    "ac_parallel_enable",
    "variable_placement",
]
_FIELDS = {
    **dict.fromkeys(_BOOLEANS, "b"),
    **dict.fromkeys(_INTEGERS, "i"),
    **dict.fromkeys(_TEXTS, "s"),
}
_PRECISION_MODES = [
    "force_fp32",
    "allow_fp32_to_fp16",
    "force_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
    "allow_fp32_to_bf16",
    "cube_fp16in_fp32out",
]

# Stated limits of the device: https://gitcode.com/cann/tensorflow (introduction) and the list of
# the porting tool. Everything behind the iterator counts.
_FORBIDDEN_TYPES = {tf.float64, tf.complex64, tf.complex128, tf.string, tf.variant}
_FORBIDDEN_OPERATIONS = {
    "Assert",
    "IsFinite",
    "IsInf",
    "IsNan",
    "PyFunc",
    "StatelessRandomUniform",
    "StatelessRandomUniformV2",
}
_FORBIDDEN_PREFIXES = ("Queue", "FIFOQueue", "Stage", "Unstage", "Reader", "OneShotIterator")
_HOST_OPERATIONS = {"IteratorV2", "Iterator", "IteratorGetNext", "MakeIterator"}


class AdapterError(Exception):
    """Something that the real adapter would silently do wrong or not at all."""


class System:
    """The state of the process's device."""

    def __init__(self):
        self.runs = 0
        self.loops = 0
        self.is_shut_down = False
        # What graphs are for, as the session said that initialized the device; None before.
        self.graph_run_mode = None

    def check_alive(self):
        if self.is_shut_down:
            raise AdapterError("a session runs behind shutdown_system")
        if "JOB_ID" not in os.environ:
            raise AdapterError("JOB_ID is not set")


SYSTEM = System()


def check_config(config):
    """Returns the adapter's options in a configuration, None for a session on the host.

    Raises:
      AdapterError: If the adapter would misunderstand the configuration.
    """
    if config is None:
        return None
    rewrite = config.graph_options.rewrite_options
    entries = [entry for entry in rewrite.custom_optimizers if entry.name == OPTIMIZER]
    if not entries:
        return None
    if len(entries) > 1:
        raise AdapterError(f"{len(entries)} entries are called {OPTIMIZER}, but one is needed")
    for name in ("remapping", "memory_optimization"):
        if getattr(rewrite, name) != rewrite.OFF:
            raise AdapterError(f"{name} is not off")
    if config.graph_options.optimizer_options.global_jit_level > 0:
        raise AdapterError("XLA is on")
    if not config.allow_soft_placement:
        raise AdapterError("allow_soft_placement is off")
    if config.log_device_placement:
        raise AdapterError("log_device_placement is on")
    if not entries[0].parameter_map:
        raise AdapterError("a session goes to the device that says nothing of it")
    values = {key: _value(key, value) for key, value in entries[0].parameter_map.items()}
    _check_values(values)
    return values


def _value(key, value):
    if key not in _FIELDS:
        raise AdapterError(f"{key} is no option of the adapter")
    field = value.WhichOneof("value")
    if field != _FIELDS[key]:
        raise AdapterError(f"{key} stands in field {field}, but is read from {_FIELDS[key]}")
    found = getattr(value, field)
    return found.decode() if field == "s" else found


def _check_values(values):
    if values.get("use_off_line") is not True:
        raise AdapterError("use_off_line is not on")
    precision = values.get("precision_mode"), values.get("precision_mode_v2")
    if sum(value is not None for value in precision) != 1:
        raise AdapterError(f"one precision mode is needed, not {precision}")
    if precision[0] is not None and precision[0] not in _PRECISION_MODES:
        raise AdapterError(f"precision_mode {precision[0]} does not exist")
    if values["iterations_per_loop"] > 1:
        if not values.get("enable_data_pre_proc"):
            raise AdapterError("a loop needs enable_data_pre_proc")
        if values.get("mix_compile_mode"):
            raise AdapterError("a loop needs mix_compile_mode off")
    if values.get("enable_dump") and values.get("enable_dump_debug"):
        raise AdapterError("enable_dump and enable_dump_debug exclude each other")
    folders = []
    if values.get("enable_dump") or values.get("enable_dump_debug"):
        folders.append(values["dump_path"])
    if values.get("profiling_mode"):
        folders.append(json.loads(values["profiling_options"])["output"])
    for folder in folders:
        if not os.path.isdir(folder):
            raise AdapterError(f"{folder} does not exist")


def install(is_enabled=lambda: True):
    """Watches every session of the process; returns what takes it back.

    Args:
      is_enabled: Whether the adapter knows the operations of sessions by now.
    """
    base = tf.Session.__mro__[1]  # BaseSession, whose methods all kinds of sessions share.
    original_init, original_run = base.__init__, base.run
    collectives.start()

    def init(self, target="", graph=None, config=None):
        self._npu_values = check_config(config)
        if self._npu_values is not None and not is_enabled():
            raise AdapterError("a session for the device needs enable_v1")
        original_init(self, target=target, graph=graph, config=config)

    def run(self, fetches, feed_dict=None, options=None, run_metadata=None):
        return _run(self, original_run, fetches, feed_dict, options, run_metadata)

    base.__init__, base.run = init, run

    def uninstall():
        base.__init__, base.run = original_init, original_run

    return uninstall


def send_all_sessions_to_the_device():
    """Gives sessions without the adapter's entry an empty one, as versions from 2021 on do."""
    original = tf.Session.__init__

    def init(self, target="", graph=None, config=None):
        config = config or tf.ConfigProto()
        rewrite = config.graph_options.rewrite_options
        if not any(entry.name == OPTIMIZER for entry in rewrite.custom_optimizers):
            rewrite.custom_optimizers.add().name = OPTIMIZER
            rewrite.memory_optimization = rewrite.OFF
        rewrite.remapping = rewrite.OFF
        config.allow_soft_placement = True
        original(self, target=target, graph=graph, config=config)

    tf.Session.__init__ = init


def _run(session, original_run, fetches, feed_dict, options, run_metadata):
    operations = _ancestors(session.graph, fetches)
    values = session._npu_values
    if values is None:
        if any(operation.type.startswith("Conv2D") for operation in operations):
            raise AdapterError("a network runs on the host")
        return original_run(session, fetches, feed_dict, options, run_metadata)
    names = {operation.name for operation in operations}
    if INITIALIZE in names:
        SYSTEM.graph_run_mode = values["graph_run_mode"]
        SYSTEM.is_shut_down = False
    SYSTEM.check_alive()
    SYSTEM.runs += 1
    if SHUT_DOWN in names:
        SYSTEM.is_shut_down = True
    trains = any(_updates_weights(operation) for operation in operations)
    steps = values["iterations_per_loop"]
    if trains:
        _check_training(values, operations, names, feed_dict)
    if trains and steps > 1:
        _check_loop_variables(session, original_run, steps)
        SYSTEM.loops += 1
        for _ in range(steps - 1):
            original_run(session, session.graph.get_operation_by_name("IterationOp"))
    return original_run(session, fetches, feed_dict, options, run_metadata)


def _check_training(values, operations, names, feed_dict):
    check_operations(operations)
    if feed_dict:
        raise AdapterError(f"the training graph is fed: {list(feed_dict)}")
    if values["iterations_per_loop"] > 1 and "IterationOp" not in names:
        raise AdapterError("a loop's operation must be called IterationOp")
    if values["graph_run_mode"] != 1:
        raise AdapterError("graph_run_mode of training is 1")
    if SYSTEM.graph_run_mode == 0:
        raise AdapterError("the device was initialized for inference, but it trains")


def loop_collection(name):
    """Returns the collection that holds one of the loop's variables."""
    return f"{LOOP_SCOPE}_{name}"


def _check_loop_variables(session, original_run, steps):
    collections = [session.graph.get_collection(loop_collection(name)) for name in LOOP_VARIABLES]
    if any(len(variables) != 1 for variables in collections):
        raise AdapterError("a loop needs SetIterationsVarHook, which makes its variables")
    values = original_run(session, [variable for (variable,) in collections])
    if list(values) != [steps - 1, 0, 0, 1]:
        raise AdapterError(f"the loop's variables are {values}, the session's loop {steps}")


def check_operations(operations):
    """Raises AdapterError for an operation that the device does not support."""
    for operation in operations:
        if operation.type in _HOST_OPERATIONS:
            _check_iterator(operation)
            continue
        if _is_on_host(operation):
            continue
        if operation.type in _FORBIDDEN_OPERATIONS:
            raise AdapterError(f"{operation.name}: the device has no {operation.type}")
        if operation.type.startswith(_FORBIDDEN_PREFIXES):
            raise AdapterError(f"{operation.name}: no {operation.type} in a training graph")
        # What batch norm keeps for its own gradient has no shape in TensorFlow either.
        is_batch_norm = operation.type.startswith("FusedBatchNorm")
        for tensor in operation.outputs[:3] if is_batch_norm else operation.outputs:
            if tensor.dtype.base_dtype in _FORBIDDEN_TYPES:
                raise AdapterError(f"{tensor.name} is {tensor.dtype.name}")
            if not tensor.shape.is_fully_defined() and not _is_folded(operation):
                raise AdapterError(f"{tensor.name} has shape {tensor.shape}, which is not static")
        if operation.type == "Const" and operation.get_attr("dtype").is_floating:
            value = tf.make_ndarray(operation.get_attr("value"))
            if not np.all(np.isfinite(value.astype(np.float64))):
                raise AdapterError(f"{operation.name} holds what is no finite number")


def _is_folded(operation):
    """Whether a shape is unknown only until TensorFlow 1 folds the shapes of broadcasting."""
    sources = [operation, *(tensor.op for tensor in operation.inputs)]
    return any(source.type == "BroadcastGradientArgs" for source in sources)


def _check_iterator(operation):
    for tensor in operation.outputs:
        if operation.type != "IteratorGetNext":
            continue
        if tensor.dtype == tf.string:
            raise AdapterError(f"{tensor.name}: texts come through the iterator")
        if not tensor.shape.is_fully_defined():
            raise AdapterError(f"{tensor.name} has shape {tensor.shape}, which is not static")


def _is_on_host(operation):
    """Whether an operation is one of this stand-in's, which are Python functions."""
    return "Hccl" in operation.name


def _updates_weights(operation):
    return operation.type.startswith(("Apply", "ResourceApply"))


def _flat(fetches):
    """Yields the fetches of a session run; dicts have keys of many types."""
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if isinstance(fetches, (list, tuple)):
        for fetch in fetches:
            yield from _flat(fetch)
    elif fetches is not None:
        yield fetches


def _ancestors(graph, fetches):
    found, waiting = set(), []
    for fetch in _flat(fetches):
        if isinstance(fetch, str):
            fetch = graph.as_graph_element(fetch)
        element = graph.as_graph_element(fetch, allow_tensor=True, allow_operation=True)
        waiting.append(element if isinstance(element, tf.Operation) else element.op)
    while waiting:
        operation = waiting.pop()
        if operation in found:
            continue
        found.add(operation)
        waiting.extend(tensor.op for tensor in operation.inputs)
        waiting.extend(operation.control_inputs)
    return found

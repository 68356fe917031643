"""The session options that the Ascend adapter reads, each in its own protobuf field.

They are entries in the parameter_map of a custom optimizer called NpuOptimizer, which optimizes
nothing: the adapter's graph passes read their options from it. Each key is read from one field (b,
i or s) only and is silently ignored in another. So every key is listed here with its field and its
values, as in the adapter's source (util/npu_attrs.cc, 2021-02 to 2023-12).
"""

from __future__ import annotations

import re

from utils.errors import OptionError

OPTIMIZER_NAME = "NpuOptimizer"

PRECISION_MODES = (
    "force_fp32",
    "allow_fp32_to_fp16",
    "force_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
    "allow_fp32_to_bf16",
    "cube_fp16in_fp32out",
)
PRECISION_MODES_V2 = ("fp16", "origin", "mixed_float16", "mixed_bfloat16")

# Key -> (field, allowed values; None for any of the field's type).
_ON_OFF = ("0", "1")
KEYS = {
    "use_off_line": ("b", None),
    "mix_compile_mode": ("b", None),
    "iterations_per_loop": ("i", None),
    "enable_data_pre_proc": ("b", None),
    "graph_run_mode": ("i", _ON_OFF),
    "precision_mode": ("s", PRECISION_MODES),
    "precision_mode_v2": ("s", (*PRECISION_MODES_V2, "cube_fp16in_fp32out")),
    "modify_mixlist": ("s", None),
    "customize_dtypes": ("s", None),
    "op_precision_mode": ("s", None),
    "op_select_implmode": ("s", None),
    "optypelist_for_implmode": ("s", None),
    "hcom_parallel": ("b", None),
    "hcom_multi_mode": ("b", None),
    "HCCL_algorithm": ("s", None),
    "hccl_timeout": ("i", None),
    "op_wait_timeout": ("i", None),
    "op_execute_timeout": ("i", None),
    "stream_sync_timeout": ("i", None),
    "event_sync_timeout": ("i", None),
    "graph_exec_timeout": ("i", None),
    "is_tailing_optimization": ("b", None),
    "jit_compile": ("s", ("true", "false", "auto")),
    "op_compiler_cache_mode": ("s", ("enable", "disable", "force")),
    "op_compiler_cache_dir": ("s", None),
    "graph_compiler_cache_dir": ("s", None),
    "deterministic": ("i", _ON_OFF),
    "enable_small_channel": ("i", _ON_OFF),
    "enable_exception_dump": ("i", ("0", "1", "2")),
    "enable_dump": ("b", None),
    "dump_path": ("s", None),
    "dump_step": ("s", None),
    "dump_mode": ("s", ("input", "output", "all")),
    "dump_layer": ("s", None),
    "dump_data": ("s", ("tensor", "stats")),
    "enable_dump_debug": ("b", None),
    "dump_debug_mode": ("s", ("aicore_overflow", "atomic_overflow", "all")),
    "profiling_mode": ("b", None),
    "profiling_options": ("s", None),
    "aoe_mode": ("s", ("1", "2", "4", "mdat")),
    "work_path": ("s", None),
    "aoe_config_file": ("s", None),
    "auto_tune_mode": ("s", None),
    "graph_memory_max_size": ("s", None),
    "variable_memory_max_size": ("s", None),
    "static_memory_policy": ("i", ("0", "1", "2", "3", "4")),
    "atomic_clean_policy": ("i", _ON_OFF),
    "external_weight": ("b", None),
    "memory_optimization_policy": ("s", None),
    "session_device_id": ("i", None),
    "fusion_switch_file": ("s", None),
    "enable_scope_fusion_passes": ("s", None),
    "buffer_optimize": ("s", ("l2_optimize", "off_optimize")),
    "stream_max_parallel_num": ("s", None),
    "op_debug_level": ("i", None),
    "op_debug_config": ("s", None),
    "debug_dir": ("s", None),
    "topo_sorting_mode": ("i", _ON_OFF),
    "ac_parallel_enable": ("s", _ON_OFF),
    "variable_placement": ("s", ("Host", "Device")),
}
# Keys that other flags or the loop determine; --npu_option must not set them.
_SET_ELSEWHERE = {
    "use_off_line": "--device",
    "mix_compile_mode": "the loop on the device, which needs false",
    "iterations_per_loop": "--iterations_per_loop",
    "enable_data_pre_proc": "the loop on the device, which needs true",
    "graph_run_mode": "the command",
    "precision_mode": "--precision_mode",
    "precision_mode_v2": "--precision_mode",
}


def fill(config, parameters: dict):
    """Adds the adapter's entry to a session's configuration.

    Args:
      config: A ConfigProto; its other options are left as they are.
      parameters: Key -> value (bool, int or str) for the key's field.
    """
    entry = config.graph_options.rewrite_options.custom_optimizers.add()
    entry.name = OPTIMIZER_NAME
    for key, value in sorted(parameters.items()):
        field = KEYS[key][0]
        if field == "s":
            entry.parameter_map[key].s = value.encode("utf-8")
        else:
            setattr(entry.parameter_map[key], field, value)


def parse(assignments) -> dict:
    """Returns key -> value, of the field's type, from the `KEY=VALUE` texts of `--npu_option`.

    Raises:
      OptionError: If a key is unknown, set elsewhere or given twice, or its value is not allowed.
    """
    found = {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign:
            raise OptionError(f"--npu_option={assignment} must have the form KEY=VALUE.")
        if key in _SET_ELSEWHERE:
            raise OptionError(f"--npu_option={assignment}: {key} is set by {_SET_ELSEWHERE[key]}.")
        if key not in KEYS:
            raise OptionError(
                f"--npu_option={assignment}: unknown key {key}; known: "
                f"{', '.join(sorted(set(KEYS) - set(_SET_ELSEWHERE)))}."
            )
        if key in found:
            raise OptionError(f"--npu_option={key} is given twice.")
        found[key] = _value(key, text)
    return found


def _value(key: str, text: str):
    field, allowed = KEYS[key]
    if field == "b":
        allowed = ("true", "false")
    if allowed is not None and text not in allowed:
        raise OptionError(
            f"--npu_option={key}={text}, but {key} must be one of {', '.join(allowed)}."
        )
    if field == "i" and not re.fullmatch(r"-?\d+", text):
        raise OptionError(f"--npu_option={key}={text}, but {key} must be a whole number.")
    if field == "s":
        if not text:
            raise OptionError(f"--npu_option={key}= has no value.")
        return text
    return text == "true" if field == "b" else int(text)

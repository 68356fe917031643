"""Session options of the Ascend adapter from flags: dumps, profiles, tuning, others."""

from __future__ import annotations

import json
import os

from deployment.devices import npu_keys
from options.device import DeviceOptions
from utils.errors import OptionError, UserError


def of_flags(options: DeviceOptions) -> dict:
    """Returns the adapter's options that flags set; creates the folders they name.

    Raises:
      OptionError: If flags contradict each other.
      UserError: If a folder cannot be created.
    """
    parameters = _observation(options)
    for key, value in npu_keys.parse(options.npu_option).items():
        if key in parameters:
            raise OptionError(f"--npu_option={key} and the flag for it are both given; remove one.")
        parameters[key] = value
    return parameters


def _observation(options: DeviceOptions) -> dict:
    """Returns the options of dumps, overflow detection, profiling and tuning."""
    if options.npu_dump_path and options.npu_overflow_path:
        raise OptionError("--npu_dump_path and --npu_overflow_path exclude each other.")
    found = {}
    if options.npu_dump_path:
        found.update(enable_dump=True, dump_path=_folder(options.npu_dump_path), dump_mode="all")
        found.update(dump_step=options.npu_dump_step)
    if options.npu_overflow_path:
        found.update(enable_dump_debug=True, dump_path=_folder(options.npu_overflow_path))
        found.update(dump_debug_mode="all")
    if options.npu_profile_path:
        settings = {
            "output": _folder(options.npu_profile_path),
            "training_trace": "on",
            "task_trace": "on",
            "hccl": "on",
            "aicpu": "on",
            "fp_point": "",
            "bp_point": "",
            "aic_metrics": "PipeUtilization",
        }
        found.update(profiling_mode=True, profiling_options=json.dumps(settings))
    if options.npu_tune_path:
        found.update(aoe_mode="2", work_path=_folder(options.npu_tune_path))
    return found


def _folder(path: str) -> str:
    """Creates a folder, since the adapter does not; returns its absolute path."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"folder {path} cannot be created: {error.strerror}; pass another one."
        ) from error
    return os.path.abspath(path)

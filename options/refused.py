"""Flags of the DeepLab family that no command follows: refused, or accepted without effect."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError

_NAS = "architecture search backbones are not part of this project"
_ONE_PROCESS = (
    "processes are started by python -m deployment.launch, one for each device (docs/launching.md)"
)

# Name -> (function that defines the flag, default, why no other value can have an effect).
REFUSED = {
    "nas_stem_output_num_conv_filters": (flags.DEFINE_integer, 20, _NAS),
    "nas_use_classification_head": (flags.DEFINE_bool, False, _NAS),
    "nas_remove_os32_stride": (flags.DEFINE_bool, False, _NAS),
    "drop_path_keep_prob": (flags.DEFINE_float, 1.0, _NAS),
    "quantize_delay_step": (
        flags.DEFINE_integer,
        -1,
        "quantization as in TensorFlow 1's contrib package is not part of this project",
    ),
    "num_clones": (flags.DEFINE_integer, 1, _ONE_PROCESS),
    "num_replicas": (flags.DEFINE_integer, 1, _ONE_PROCESS),
    "num_ps_tasks": (flags.DEFINE_integer, 0, _ONE_PROCESS),
    "master": (flags.DEFINE_string, "", _ONE_PROCESS),
    "clone_on_cpu": (flags.DEFINE_bool, False, "--device=cpu runs on the CPU"),
    "over_dump": (flags.DEFINE_bool, False, "--npu_overflow_path=FOLDER dumps what overflows"),
}
# Accepted with any value: name -> (function that defines the flag, default, why it has no effect).
IGNORED = {
    "shard": (flags.DEFINE_bool, False, "each of several ranks always reads its own share"),
    "startup_delay_steps": (flags.DEFINE_integer, 15, "all ranks start together"),
    "over_dump_path": (flags.DEFINE_string, "/home/HwHiAiUser", "it belongs to --over_dump"),
}


def check(values: dict):
    """Raises OptionError if a refused option has another value than its default.

    Args:
      values: Option name -> value; other names are ignored.
    """
    for name, (_, default, reason) in REFUSED.items():
        if values.get(name, default) != default:
            raise OptionError(
                f"--{name}={values[name]} cannot have an effect: {reason}; leave the flag out."
            )


def without(values: dict) -> dict:
    """Returns the values without the options of these tables, as old runs have them saved.

    Raises:
      OptionError: If a refused option has another value than its default.
    """
    check(values)
    return {
        name: value for name, value in values.items() if name not in REFUSED and name not in IGNORED
    }


def _check_record(record):
    check(record.to_dict())


def _help(default, reason: str, refused: bool) -> str:
    if refused:
        return f"Refused unless {default if default != '' else 'empty'}: {reason}."
    return f"Accepted without effect: {reason}."


# The tables as an option record, which defines the flags.
RefusedOptions = dataclasses.make_dataclass(
    "RefusedOptions",
    [
        (name, object, option(define, default, _help(default, reason, table is REFUSED)))
        for table in (REFUSED, IGNORED)
        for name, (define, default, reason) in table.items()
    ],
    bases=(Options,),
    namespace={
        "__doc__": "Flags of the DeepLab family that no command follows.",
        "__module__": __name__,
        "check": _check_record,
    },
    frozen=True,
)

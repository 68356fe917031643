"""Flags of the DeepLab family without effect here: accepted at their defaults, else refused."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError

_NAS = "architecture search backbones are not part of this project"

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
    """Returns the values without refused options, as old runs have them in options.json.

    Raises:
      OptionError: If a refused option has another value than its default.
    """
    check(values)
    return {name: value for name, value in values.items() if name not in REFUSED}


def _check_record(record):
    check(record.to_dict())


# The table as an option record, which defines the flags.
RefusedOptions = dataclasses.make_dataclass(
    "RefusedOptions",
    [
        (name, object, option(define, default, f"Refused unless {default}: {reason}."))
        for name, (define, default, reason) in REFUSED.items()
    ],
    bases=(Options,),
    namespace={
        "__doc__": "Flags of the DeepLab family that have no effect.",
        "__module__": __name__,
        "check": _check_record,
    },
    frozen=True,
)

"""The flags of a verb, as absl defines them."""

from absl import flags

import common
from commands import running
from options.refused import RefusedOptions


def accepted_flags(verb):
    """Returns the flags that a verb accepts without a word."""
    flag_values = flags.FlagValues()
    for field in running.find(verb).fields().values():
        common.define_flag(field, flag_values, verb)
    common.define_flags(RefusedOptions, flag_values=flag_values)
    flag_values.mark_as_parsed()
    return flag_values

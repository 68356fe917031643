"""Runs a command line in this process, so that TensorFlow is not loaded for each."""

import functools

from absl import flags

import common
from commands import checkpoint, running

PROGRAMS = {
    "train_npu.py": ("train", True),
    "eval.py": ("evaluate", False),
    "predict.py": ("predict", False),
    "vis.py": ("visualize", False),
    "export_model.py": ("export", False),
    "checkpoint_tool.py": ("checkpoint", False),
    "cal_miou.py": ("score", False),
    "doctor.py": ("doctor", False),
}


def run(program, *arguments):
    """Returns the exit status of a program of this project."""
    name, by_mode = PROGRAMS.get(program, (program, False))
    argv = [program, *map(str, arguments)]
    if program == "checkpoint_tool.py":
        name = running.verb_by_flag(name, checkpoint.BY_FLAG, argv)
    parse = functools.partial(running.parse, name, f"python {program}", by_mode)

    def act():
        try:
            parsed = parse(flags.FlagValues(), argv)
        except flags.Error as error:
            common.complain(str(error))
            raise SystemExit(common.STATUS_USAGE) from error
        running.act(parsed)

    try:
        return common.status_of(act)
    except SystemExit as error:
        return error.code or 0

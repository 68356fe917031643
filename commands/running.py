"""Finds a verb, reads its flags, and hands its `Config` to its engine.

The engine is imported here, after the flags were accepted: a wrong flag is answered before
TensorFlow is loaded, and modules import what they need at their top.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import sys

from absl import flags, logging

import commands
import common
from commands import family, help_text, parsing
from commands.command import PURPOSES, Command
from deployment import devices
from options.config import Config
from options.device import DeviceOptions
from utils import console, variants
from utils.errors import OptionError

_MODES = ("train", "evaluate")


def verbs() -> dict:
    """Returns all verbs by name."""
    return variants.collect(commands)


def find(name: str) -> Command:
    """Returns a verb.

    Raises:
      OptionError: If there is none of this name; the message names the nearest.
    """
    known = verbs()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
        raise OptionError(f"{name} is no verb; did you mean {' or '.join(near)}?")
    return known[name]


def configure(name: str, **values) -> Config:
    """Returns the options of a verb, from option names and values instead of flags.

    Raises:
      OptionError: If the verb has no such option, or a value is refused.
    """
    command = find(name)
    _check_names(command, values)
    return Config.create(command.records, values)


def call(name: str, *arguments, **values):
    """Carries out a verb in this process, and returns what its engine returns.

    For example `call("evaluate", checkpoint_dir="runs/first", dataset_dir="records")`.

    Raises:
      UserError: What the command would answer in one sentence.
    """
    return carry_out(find(name), configure(name, **values), arguments)


def carry_out(command: Command, config: Config, arguments=()):
    """Imports the engine of a verb and runs it."""
    if DeviceOptions in command.records:
        _check_device(config.device.device)
    command.check(config)
    return importlib.import_module(command.engine).main(config, *arguments)


def _check_device(name: str):
    """Raises OptionError for an unknown device before its module, and TensorFlow, are imported."""
    variants.lookup(dict.fromkeys(("auto", *variants.names(devices))), name, "--device")


def start(name: str, *, by_mode: bool = False, by_flag: dict | None = None):
    """Runs a verb as this process, with the process's arguments.

    Args:
      name: The verb.
      by_mode: Whether `--mode` chooses between training and evaluation, as for train_npu.py.
      by_flag: Flag -> the other verb that it chooses where it is given.
    """
    program = find(name).program

    def parse_here(flag_values, argv):
        chosen = verb_by_flag(name, by_flag or {}, argv)
        return parse(chosen, program, by_mode, flag_values, argv)

    common.execute(parse_here, act)


def start_as_family():
    """Runs `train` as this process, as the DeepLab family's train.py."""

    def parse_here(flag_values, argv):
        family.check_environment()
        return parse("train", "python train.py", False, flag_values, family.arguments(argv))

    common.execute(parse_here, act)


def verb_by_flag(name: str, by_flag: dict, argv: list) -> str:
    """Returns the verb that the flags of a command line choose; see `start`."""
    given = {word.lstrip("-").partition("=")[0] for word in _words(argv) if word.startswith("-")}
    return next((verb for flag, verb in by_flag.items() if flag in given), name)


def _words(argv: list) -> list:
    """Returns the arguments, those in flag files too, before the flags are known."""
    return flags.FlagValues().read_flags_from_files(argv[1:])


def front_door():
    """Runs `python seg.py VERB --flags` as this process; lists the verbs without one."""
    words = sys.argv[1:]
    if not words or words[0] in (*help_text.SHORT, *help_text.FULL, "help"):
        with console.may_go_away():
            print(listing())
        return
    try:
        command = find(words[0])
    except OptionError as error:
        common.complain(f"{error} `python seg.py` lists all.")
        sys.exit(common.STATUS_USAGE)
    program = f"python seg.py {command.name}"
    parse_here = functools.partial(parse, command.name, program, False)
    common.execute(parse_here, act, [program, *words[1:]])


def listing() -> str:
    """Returns the verbs by purpose, with an example each."""
    lines = ["python seg.py VERB --flags; `python seg.py VERB --help` shows the flags."]
    for purpose in PURPOSES:
        lines += ["", f"{purpose}:"]
        for command in verbs().values():
            if command.purpose == purpose:
                lines += [
                    f"  {command.name:12s} {command.summary}",
                    f"  {'':12s}   python seg.py {command.name} {command.examples[0]}",
                ]
    return "\n".join(lines)


def parse(name: str, program: str, by_mode: bool, flag_values, argv: list) -> parsing.Parsed:
    """Parses a command line; ends the process where help is wanted.

    Args:
      name: The verb.
      program: How it was called, for its help.
      by_mode: See `start`.
      flag_values: Where the flags are defined.
      argv: The program, and its arguments.
    """
    command, tolerated = find(name), ()
    if by_mode:
        command = find(_mode(argv, name))
        tolerated = [option for mode in _MODES for option in find(mode).fields()]
    kind = help_text.requested(argv)
    if kind is not None:
        print(help_text.render(command, program, kind))
        sys.exit(0)
    return parsing.parse(command, argv, flag_values, verbs(), tolerated)


def _mode(argv: list, default: str) -> str:
    """Returns what `--mode` says, before the flags of the mode are known."""
    words = _words(argv)
    found = default
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "mode":
            found = value if equals else following
    if found not in _MODES:
        raise OptionError(f"--mode is {found!r}, but must be one of {', '.join(_MODES)}.")
    return found


def act(parsed: parsing.Parsed):
    """Carries out what was parsed."""
    if parsed.notice:
        logging.info("%s", parsed.notice)
    carry_out(parsed.command, parsed.config, parsed.arguments)


def _check_names(command: Command, values: dict):
    """Raises OptionError for options that have no effect in a verb."""
    unknown = sorted(set(values) - set(command.fields()))
    if unknown:
        raise OptionError(
            f"{', '.join(unknown)}: no option of {command.name}; those are "
            f"{', '.join(sorted(command.fields()))}."
        )

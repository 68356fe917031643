"""From a command line to a `Config`: which flags a verb takes, and what becomes of the others.

A flag without effect is refused, with the verbs in which it has one. Flags of the DeepLab family
are not: the family's scripts share flag files, so these are accepted and named in one notice.
"""

from __future__ import annotations

import dataclasses

import common
from commands.command import Command
from options import family, refused
from options.config import FILE, FLAG, Config
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class Parsed:
    """A command line.

    Attributes:
      command: The verb.
      config: Its options.
      arguments: The arguments without dashes, those after `--` as a list at the end.
      notice: Names flags without effect; empty where there are none.
    """

    command: Command
    config: Config
    arguments: tuple
    notice: str = ""


def parse(command: Command, argv: list, flag_values, verbs: dict, tolerated=()) -> Parsed:
    """Parses a command line.

    Args:
      command: The verb.
      argv: The program, and its arguments.
      flag_values: Where the flags are defined.
      verbs: All verbs by name; their flags are known, so that an answer can name them.
      tolerated: Further flags that are accepted with a notice where they have no effect.

    Raises:
      OptionError: If a flag has no effect here, a value is refused, or an argument is missing.
      flags.Error: If a flag is unknown.
    """
    own, elsewhere = command.fields(), _elsewhere(command, verbs)
    for name, field in {**_refused_fields(), **_fields(elsewhere, verbs), **own}.items():
        if name not in flag_values:
            common.define_flag(field, flag_values, command.name)
    arguments = flag_values(argv)[1:]
    origins = _origins(argv[1:], flag_values)
    common.from_flags(refused.RefusedOptions, flag_values)
    useless = {name: users for name, users in elsewhere.items() if name in origins}
    useless.update((name, []) for name in refused.IGNORED if name in origins)
    _refuse(command, useless, family.NAMES.union(tolerated))
    values = {name: common.flag_value(field, flag_values) for name, field in own.items()}
    given = {name: origin for name, origin in origins.items() if name in own}
    config = Config.create(command.records, values, given)
    _check_mode(command, config)
    positional = common.check_arguments(arguments, command.positional, command.rest)
    return Parsed(command, config, tuple(positional), _notice(command, useless))


def _elsewhere(command: Command, verbs: dict) -> dict:
    """Returns flag name -> the verbs in which it has an effect, of flags without effect here."""
    found = {}
    for other in verbs.values():
        for name in set(other.fields()) - set(command.fields()):
            found.setdefault(name, []).append(other.name)
    return found


def _fields(elsewhere: dict, verbs: dict) -> dict:
    return {name: verbs[users[0]].fields()[name] for name, users in elsewhere.items()}


def _refused_fields() -> dict:
    return {field.name: field for field in dataclasses.fields(refused.RefusedOptions)}


def _origins(arguments: list, flag_values) -> dict:
    """Returns flag name -> where it was given last: `FLAG`, or `FILE` and the path."""
    found = {}
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "flagfile":
            path = value if equals else next(rest)
            lines = flag_values.read_flags_from_files([f"--flagfile={path}"])
            found.update((_name(line, flag_values), FILE + path) for line in lines)
        elif word.startswith("-"):
            found[_name(word, flag_values)] = FLAG
    return {name: origin for name, origin in found.items() if _is_given(name, flag_values)}


def _name(word: str, flag_values) -> str:
    """Returns the flag that a word of a command line sets."""
    name = word.lstrip("-").partition("=")[0]
    return name[len("no") :] if name not in flag_values and name.startswith("no") else name


def _is_given(name: str, flag_values) -> bool:
    return name in flag_values and bool(flag_values[name].present)


def _refuse(command: Command, useless: dict, accepted):
    """Raises OptionError for the flags that have no effect here, but in other verbs."""
    found = sorted(set(useless) - set(accepted))
    if not found:
        return
    users = ", ".join(sorted({user for name in found for user in useless[name]}))
    raise OptionError(
        f"{_as_flags(found)}: no effect in {command.name}, but in {users}; leave it out."
    )


def _check_mode(command: Command, config: Config):
    """Raises OptionError if `--mode` names another verb; train_npu.py has chosen by it already."""
    if "mode" in config.given and config.command.mode != command.name:
        raise OptionError(
            f"--mode={config.command.mode} contradicts {command.name}; leave it out, or run "
            "train_npu.py."
        )


def _notice(command: Command, useless: dict) -> str:
    """Returns the sentence about flags that are accepted without effect; empty for none."""
    if not useless:
        return ""
    users = sorted({user for found in useless.values() for user in found})
    where = f" (they belong to {', '.join(users)})" if users else ""
    return f"Without effect in {command.name}: {_as_flags(sorted(useless))}{where}."


def _as_flags(names) -> str:
    return ", ".join(f"--{name}" for name in names)

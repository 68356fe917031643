"""How options become flags, and how a command of this project starts and ends.

Every option of the project is one line: a field of a frozen dataclass, made with `option`. The
field carries the absl flag, its help and its limits, so that a flag, a keyword argument in Python
and an entry of `options.json` can never drift apart.

This module does not import TensorFlow, so that a wrong flag is refused without waiting for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import traceback

from absl import app, flags, logging

from utils import console, files
from utils.errors import Interrupted, OptionError, UserError

# Exit statuses of every command (128 + signal number after a signal).
STATUS_FAILURE = 1
STATUS_USAGE = 2

OPTIONS_FILE = "options.json"


def option(
    define,
    default,
    help_text: str,
    *,
    minimum=None,
    above=None,
    maximum=None,
    choices=None,
    convert=None,
    length=None,
    changeable: bool = False,
):
    """Returns a dataclass field that is also an absl flag.

    Args:
      define: The absl function that defines the flag, such as `flags.DEFINE_integer`.
      default: The default; lists are given as tuples.
      help_text: One sentence for `--help`, with units.
      minimum: Smallest allowed value (of each element, for a list).
      above: Bound that every value must exceed.
      maximum: Largest allowed value.
      choices: The allowed values.
      convert: Applied to each element of a list flag of strings (`int` for crop sizes).
      length: The allowed number of elements of a list.
      changeable: Whether a run may be continued with another value, because the value has no
        effect on what is learned from a given step on.
    """
    metadata = {
        "define": define,
        "help": help_text,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "choices": choices,
        "convert": convert,
        "length": length,
        "changeable": changeable,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of all option records: fields are checked when a record is made.

    Attributes:
      SECTION: The record's name in a `Config` and in `options.json`; empty for a base class.
    """

    SECTION = ""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(value)
            value = _converted(field, value)
            object.__setattr__(self, field.name, value)
            _check_limits(field, value)
        self.check()

    def check(self):
        """Raises OptionError where options contradict each other; subclasses extend it."""

    def check_with(self, records: dict):
        """Raises OptionError where options contradict those of other records of a command.

        Args:
          records: Section -> record.
        """

    @classmethod
    def names(cls) -> tuple:
        """Returns the names of the options."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def to_dict(self) -> dict:
        """Returns the options as plain values for JSON, tuples as lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def replace(self, **changes):
        """Returns the record with other values of some options."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def changeable(cls) -> frozenset:
        """Returns the names of the options that may differ when a run is continued."""
        return frozenset(
            field.name for field in dataclasses.fields(cls) if field.metadata["changeable"]
        )

    @classmethod
    def from_dict(cls, values: dict):
        """Makes a record from the result of `to_dict`.

        Raises:
          OptionError: If a name is unknown or a value is refused.
        """
        unknown = sorted(set(values).difference(cls.names()))
        if unknown:
            raise OptionError(
                f"{', '.join(unknown)}: no such option of {cls.__name__}; the known ones are "
                f"{', '.join(sorted(cls.names()))}."
            )
        return cls(**values)


def _converted(field, value):
    convert = field.metadata.get("convert")
    if convert is None or value is None:
        return value
    if isinstance(value, (str, int, float)):
        value = (value,)
    try:
        return tuple(convert(element) for element in value)
    except ValueError:
        raise OptionError(
            f"--{field.name}={','.join(str(element) for element in value)} must hold values of "
            f"type {convert.__name__.strip('_')}, separated by commas."
        ) from None


def _check_limits(field, value):
    limits = field.metadata
    if value is None or "define" not in limits:
        return
    elements = value if isinstance(value, tuple) else (value,)
    length = limits["length"]
    if isinstance(value, tuple) and length is not None and len(value) != length:
        example = ",".join(map(str, field.default or range(1, length + 1)))
        raise OptionError(
            f"--{field.name} has {len(value)} values, but needs {length}, such as "
            f"--{field.name}={example}."
        )
    for element in elements:
        rule = _broken_rule(limits, element)
        if rule:
            raise OptionError(f"--{field.name} is {element!r}, but must be {rule}.")


def _broken_rule(limits, value) -> str:
    """Returns the rule that the value breaks, as text; empty if it breaks none."""
    if limits["choices"] is not None and value not in limits["choices"]:
        return "one of " + ", ".join(str(choice) for choice in limits["choices"])
    if not isinstance(value, (int, float)):
        bounded = any(limits[bound] is not None for bound in ("minimum", "above", "maximum"))
        return "a number" if bounded else ""
    # Written so that NaN breaks every rule.
    if limits["minimum"] is not None and not value >= limits["minimum"]:
        return f"at least {limits['minimum']}"
    if limits["above"] is not None and not value > limits["above"]:
        return f"above {limits['above']}"
    if limits["maximum"] is not None and not value <= limits["maximum"]:
        return f"at most {limits['maximum']}"
    return ""


def define_flags(*classes, flag_values=flags.FLAGS):
    """Defines one absl flag for each field of the given option classes."""
    for cls in classes:
        # absl groups flags by the module that defines them; --helpfull names the record's module.
        home = sys.argv[0] if cls.__module__ == "__main__" else cls.__module__
        for field in dataclasses.fields(cls):
            define_flag(field, flag_values, home)


def define_flag(field, flag_values, home: str):
    """Defines the absl flag of a field; absl's help shows it under `home`."""
    metadata = field.metadata
    help_text = metadata["help"]
    if metadata["choices"] is not None:
        help_text += " One of: " + ", ".join(str(choice) for choice in metadata["choices"]) + "."
    default = field.default
    if isinstance(default, tuple):
        default = [str(element) if metadata["convert"] else element for element in default]
    define = metadata["define"]
    if define in _NUMBERS or (define is flags.DEFINE_list and metadata["length"]):
        flag = _SequenceFlag(field.name, default, help_text, define, metadata["length"])
        flags.DEFINE_flag(flag, flag_values, home)
    else:
        define(field.name, default, help_text, flag_values=flag_values, module_name=home)
    flag_values.register_key_flag_for_module(sys.argv[0], flag_values[field.name])


# How each element of a flag that repeats is read.
_NUMBERS = {
    flags.DEFINE_multi_integer: flags.IntegerParser,
    flags.DEFINE_multi_float: flags.FloatParser,
}


class _SequenceFlag(flags.Flag):
    """A flag of several values, in both spellings: `--x=1,2`, and `--x=1 --x=2`.

    An empty value takes back what was given before, such as by a flag file. A list of a known
    length replaces an earlier one; lists of any length are joined.
    """

    def __init__(self, name: str, default, help_text: str, define, length: int | None):
        self._element = _NUMBERS[define]() if define in _NUMBERS else flags.ArgumentParser()
        self._replaces = define is flags.DEFINE_list
        self._length = length
        serializer = flags.CsvListSerializer(",")
        super().__init__(flags.ArgumentParser(), serializer, name, default, help_text)

    def flag_type(self) -> str:
        """Returns absl's name of the type."""
        is_list = self._replaces
        return flags.ListParser().flag_type() if is_list else f"multi {self._element.flag_type()}"

    def _parse(self, argument):
        try:
            if not isinstance(argument, str):
                return list(argument)
            parts = [part.strip() for part in argument.split(",")] if argument.strip() else []
            return [self._element.parse(part) for part in parts]
        except (TypeError, ValueError) as error:
            raise flags.IllegalFlagValueError(f"flag --{self.name}={argument}: {error}") from None

    def parse(self, argument):
        """Adds the values of one occurrence on the command line, or in a flag file."""
        before = list(self.value or ()) if self.present else []
        super().parse(argument)
        is_whole = self._replaces and (len(self.value) > 1 or len(before) == self._length)
        if not self.value:
            self.unparse()
        elif not is_whole:
            self.value = before + self.value


def from_flags(cls, flag_values):
    """Makes an option record from parsed flags.

    Raises:
      OptionError: If a value is refused.
    """
    return cls(**{field.name: flag_value(field, flag_values) for field in dataclasses.fields(cls)})


def flag_value(field, flag_values):
    """Returns the value of a field's flag.

    An empty value unsets an option that may be unset: `--tf_initial_checkpoint=` takes back what a
    flag file says.
    """
    value = flag_values[field.name].value
    return None if value in ("", []) and field.default is None else value


def given_flags(flag_values) -> frozenset:
    """Returns the names of the flags that were given, whatever their values."""
    return frozenset(name for name in flag_values if flag_values[name].present)


def refuse_given(given, names, where: str):
    """Refuses options that have no effect in this case.

    Args:
      given: Names of the options that were given on purpose.
      names: Names of those that have no effect.
      where: Why, such as "with --model, which holds the network".

    Raises:
      OptionError: If any of them was given.
    """
    useless = sorted(set(given).intersection(names))
    if useless:
        flags_given = ", ".join(f"--{name}" for name in useless)
        raise OptionError(f"{flags_given} has no effect {where}; leave it out.")


def save_options(folder: str, sections: dict):
    """Writes `options.json`, complete or not at all.

    Args:
      folder: Where to write; it is made if needed.
      sections: Section name -> a record with `to_dict`, or a plain dict.
    """
    content = {
        name: section if isinstance(section, dict) else section.to_dict()
        for name, section in sections.items()
    }
    files.write_text(os.path.join(folder, OPTIONS_FILE), json.dumps(content, indent=2) + "\n")


def load_options(folder: str) -> dict | None:
    """Returns the content of `options.json` in a folder, or None where there is none.

    Raises:
      UserError: If the file is not readable JSON.
    """
    path = os.path.join(folder, OPTIONS_FILE)
    if not os.path.exists(path):
        return None
    try:
        content = files.read_json(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore or remove it.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold sections of options; restore or remove it.")
    return content


def run(main, *classes, positional: tuple = (), rest: str | None = None):
    """Runs a command as this process: parses flags, calls `main(flag_values, *arguments)`.

    Args:
      main: Called with the parsed flags and the positional arguments.
      *classes: The option classes whose flags the command takes.
      positional: Names of the arguments without dashes that the command needs, in their order.
      rest: What follows after `--`, where a command takes it; `main` gets it as a list.
    """
    define_flags(*classes)

    def act(arguments):
        main(flags.FLAGS, *check_arguments(arguments[1:], positional, rest))

    execute(lambda flag_values, arguments: flag_values(arguments), act)


def execute(parse, act, argv: list | None = None):
    """Runs a command as this process, and ends it with the command's exit status.

    The exit status is 2 for an unknown flag or a refused value, 1 for every other failure, 143
    after SIGTERM and 130 after SIGINT. A UserError is shown as its sentence, without a traceback.

    Args:
      parse: Called with the flags of the process, and the program with its arguments.
      act: Called with what `parse` returns.
      argv: Program and arguments, if not those of the process.
    """
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    signal.signal(signal.SIGTERM, _raise_interrupted)
    # Ignored under nohup, and so it stays.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _raise_interrupted)

    def guarded(parsed):
        sys.exit(status_of(lambda: act(parsed)))

    with console.may_go_away():
        app.run(guarded, argv=argv, flags_parser=lambda arguments: _parse(parse, arguments))


def _parse(parse, arguments: list):
    try:
        return parse(flags.FLAGS, arguments)
    except SystemExit:
        # absl's --help flags end the program with 1 once they have printed, but nothing failed.
        sys.exit(0)
    except flags.CantOpenFlagFileError as error:
        complain(f"a file of --flagfile cannot be read: {str(error).partition('] ')[2] or error}.")
    except flags.Error as error:
        complain(f"{error}\nRun {arguments[0]} --helpfull for all flags.")
    except OptionError as error:
        complain(str(error))
    sys.exit(STATUS_USAGE)


def status_of(act) -> int:
    """Calls a function; returns the exit status of a command that did what it did."""
    try:
        act()
    except OptionError as error:
        complain(str(error))
        return STATUS_USAGE
    except UserError as error:
        complain(str(error))
        return STATUS_FAILURE
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        return 128 + interruption.signal_number
    except KeyboardInterrupt:
        print(Interrupted(signal.SIGINT), file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception:
        traceback.print_exc()
        return STATUS_FAILURE
    return 0


def check_arguments(values: list, names: tuple, rest: str | None) -> list:
    """Returns the arguments without dashes, what follows after `--` as a list at the end.

    Args:
      values: All arguments without dashes.
      names: The names of those that are needed.
      rest: What follows, for the message; None where nothing may.

    Raises:
      OptionError: If one is missing or too many.
    """
    if rest is not None:
        values, words = values[: len(names)], values[len(names) :]
        if not words:
            raise OptionError(f"{rest} is missing; it comes last, after a -- of its own.")
        return [*check_arguments(values, names, None), words]
    if len(values) > len(names):
        raise OptionError(
            f"unexpected argument {values[len(names)]!r}: options are written as --name=value."
        )
    if len(values) < len(names):
        missing = names[len(values)]
        raise OptionError(f"{missing} is missing; it is written without dashes, before the flags.")
    return values


def _raise_interrupted(signal_number, unused_frame):
    raise Interrupted(signal_number)


def complain(message: str):
    """Writes the one line that a user sees of an error."""
    print(f"Error: {message}", file=sys.stderr)

"""What a verb is: its name, its purpose, the options it takes, and the module that runs it."""

from __future__ import annotations

import dataclasses
from typing import Callable

# Headings of the list of verbs, in their order.
DATA = "Data"
TRAINING = "Training"
EVALUATION = "Evaluation"
USE = "Prediction and export"
TOOLS = "Tools"
PURPOSES = (DATA, TRAINING, EVALUATION, USE, TOOLS)


@dataclasses.dataclass(frozen=True)
class Part:
    """An option record of which a verb takes some flags; the other options keep their defaults.

    Attributes:
      record: The option record class.
      names: The options that have an effect.
    """

    record: type
    names: tuple


def only(record: type, *names: str) -> Part:
    """Takes only some flags of a record."""
    _check_names(record, names)
    return Part(record, names)


def without(record: type, *names: str) -> Part:
    """Takes all flags of a record but some."""
    _check_names(record, names)
    return Part(record, tuple(name for name in record.names() if name not in names))


def _check_names(record, names):
    unknown = sorted(set(names) - set(record.names()))
    if unknown:
        raise ValueError(f"{record.__name__} has no option {', '.join(unknown)}.")


def _accept(unused_config):
    """Accepts all options."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A verb.

    Attributes:
      name: The verb, as in `python seg.py NAME`.
      program: The other way to start it, such as `python eval.py`.
      purpose: One of `PURPOSES`.
      summary: What it does, a sentence.
      examples: Arguments to call it with; the first is shown in the list of verbs.
      takes: The option records, as classes or `Part`s.
      groups: What `--help` shows: (heading, option names), what people need first.
      engine: The module whose `main(config, *arguments)` carries it out.
      positional: Names of the arguments without dashes, in their order.
      rest: What follows after `--`, where the verb takes it.
      check: Called with the `Config`; raises what can be refused without TensorFlow.
    """

    name: str
    program: str
    purpose: str
    summary: str
    examples: tuple
    takes: tuple
    groups: tuple
    engine: str
    positional: tuple = ()
    rest: str | None = None
    check: Callable = _accept

    def __post_init__(self):
        known = set(self.fields())
        unknown = sorted({name for _, names in self.groups for name in names} - known)
        if unknown:
            raise ValueError(f"the help of {self.name} names {', '.join(unknown)}, no flag of it.")

    @property
    def parts(self) -> tuple:
        """All that it takes, as `Part`s."""
        return tuple(
            item if isinstance(item, Part) else Part(item, tuple(item.names()))
            for item in self.takes
        )

    @property
    def records(self) -> tuple:
        """The option record classes of its `Config`."""
        return tuple(part.record for part in self.parts)

    def fields(self) -> dict:
        """Returns flag name -> its field, of all flags that have an effect."""
        return {
            field.name: field
            for part in self.parts
            for field in dataclasses.fields(part.record)
            if field.name in part.names
        }

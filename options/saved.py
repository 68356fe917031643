"""The options that were saved beside a checkpoint, joined with the flags of a later command.

Whoever evaluates, predicts or exports need not repeat what the network was trained with. A flag
that is given on purpose and contradicts what was saved about the network is an error, because the
weights would mean something else; `--change_network` allows it.

This module does without TensorFlow, so that a contradiction is found before that is loaded.
"""

from __future__ import annotations

import dataclasses
import os

from absl import logging

import common
from common import Options
from utils.errors import OptionError, UserError

# What the network was trained to see belongs to it as much as its layers.
DATA_OF_THE_NETWORK = frozenset(
    ["min_resize_value", "max_resize_value", "resize_factor", "keep_aspect_ratio"]
)


@dataclasses.dataclass(frozen=True)
class SavedOptions:
    """What stands in `options.json`.

    Attributes:
      path: The file.
      sections: Section name -> values by name; empty where there is no file, as beside published
        checkpoints.
    """

    path: str
    sections: dict

    def section(self, name: str) -> dict:
        """Returns the values of a section, empty where nothing was saved."""
        return self.sections.get(name, {})


def load(folder: str) -> SavedOptions:
    """Reads the options that a run saved in its folder.

    Raises:
      UserError: If the file is damaged.
    """
    path = os.path.join(folder, common.OPTIONS_FILE)
    sections = common.load_options(folder)
    if sections is None:
        return SavedOptions(path, {})
    if not isinstance(sections, dict) or not all(
        isinstance(section, dict) for section in sections.values()
    ):
        raise UserError(f"{path} does not hold sections of options; restore or remove it.")
    return SavedOptions(path, sections)


def join(
    flagged: Options,
    saved: SavedOptions,
    section: str,
    *,
    given: frozenset,
    of_the_network: frozenset | None = None,
    change_network: bool = False,
) -> Options:
    """Returns options where each that was not given on purpose has the value that was saved.

    Args:
      flagged: The options as the flags say.
      saved: What was saved beside the checkpoint.
      section: The section with the options of this record.
      given: Names of the options that were given on purpose; these keep their values.
      of_the_network: Names of the options that may not be given with another value than the saved
        one; None stands for all of the record.
      change_network: Whether they may.

    Raises:
      OptionError: If a given option contradicts a saved one about the network, or a saved one is
        unknown or refused.
    """
    stored = saved.section(section)
    if not stored:
        return flagged
    # Checks the names and values, and brings lists to the form they have as flags.
    kept = type(flagged).from_dict(stored).to_dict()
    values = flagged.to_dict()
    changes, contradictions = {}, []
    for name, old in kept.items():
        value = values.get(name)
        if name not in stored or (name in values and value == old):
            continue
        if name not in given:
            changes[name] = old
        elif of_the_network is None or name in of_the_network:
            contradictions.append(f"--{name}={as_text(value)} (saved: {as_text(old)})")
    if contradictions and not change_network:
        raise OptionError(
            f"{', '.join(contradictions)} contradicts what {saved.path} says of the network that "
            "the checkpoint was trained for; leave the flag out, or pass --change_network to run "
            "another network on purpose."
        )
    if contradictions:
        logging.info("--change_network: the network gets %s.", ", ".join(contradictions))
    return flagged.replace(**changes)


def as_text(value) -> str:
    """Returns an option's value as it is written on the command line; "unset" for None."""
    if value is None:
        return "unset"
    if isinstance(value, (tuple, list)):
        return ",".join(str(element) for element in value)
    return str(value).lower() if isinstance(value, bool) else str(value)

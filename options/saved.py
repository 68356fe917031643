"""The options saved beside a checkpoint (`options.json`), joined with those of a later command.

Evaluation, prediction and export take from the run what their flags do not say. A flag that
contradicts the saved network is an error, because the weights would mean something else;
`--change_network` allows it. Saved options are read by name, whatever their section: a file of an
older version has other sections.
"""

from __future__ import annotations

import dataclasses
import os

from absl import logging

import common
from options import refused
from options.architectures import ArchitectureOptions
from options.config import ORIGINS, SAVED, Config, record_classes
from options.data import DATA_RECORDS
from options.network import NetworkOptions
from utils.errors import OptionError, UserError

# What resizes images is part of the network as much as its layers.
DATA_OF_THE_NETWORK = frozenset(
    ["min_resize_value", "max_resize_value", "resize_factor", "keep_aspect_ratio"]
)
# Sections by what they are about, those of older versions included.
DATA = ("data", "input", "augmentation")
TRAINING = ("train", "optimizer", "schedule", "loss")

_RUN = "run"
# The network's section in versions that knew DeepLab only.
_OLD_NETWORK = "model"
_NETWORK_RECORDS = (NetworkOptions, ArchitectureOptions)
# The records whose options a checkpoint brings along.
_JOINED_RECORDS = (*_NETWORK_RECORDS, *DATA_RECORDS)


@dataclasses.dataclass(frozen=True)
class SavedOptions:
    """The content of `options.json`.

    Attributes:
      path: The file.
      sections: Section -> option name -> value; empty where there is no file, as beside published
        checkpoints.
      run: Facts about the data, the software and the command of the run.
      exists: Whether there is such a file.
    """

    path: str
    sections: dict
    run: dict
    exists: bool

    def values(self, *sections: str) -> dict:
        """Returns option name -> plain value of some sections, of all by default.

        Raises:
          OptionError: If an option has a value that this version cannot follow.
        """
        chosen = [
            values for name, values in self.sections.items() if not sections or name in sections
        ]
        return refused.without({name: value for part in chosen for name, value in part.items()})


def load(folder: str) -> SavedOptions:
    """Reads the options that a run saved in its folder.

    Raises:
      UserError: If the file is damaged.
    """
    path = os.path.join(folder, common.OPTIONS_FILE)
    found = common.load_options(folder)
    content = found or {}
    if not all(isinstance(section, dict) for section in content.values()):
        raise UserError(f"{path} does not hold sections of options; restore or remove it.")
    sections = {name: part for name, part in content.items() if name not in (_RUN, ORIGINS)}
    if _OLD_NETWORK in sections:
        sections[_OLD_NETWORK] = {"architecture": "deeplab", **sections[_OLD_NETWORK]}
    return SavedOptions(path, sections, content.get(_RUN, {}), found is not None)


def join(config: Config, saved: SavedOptions, *, change_network: bool = False) -> Config:
    """Returns a config whose options that were not given have the values that were saved.

    Args:
      config: The options of a command.
      saved: What was saved beside the checkpoint.
      change_network: Whether given options may contradict the saved network.

    Raises:
      OptionError: If a given option contradicts a saved one about the network, a saved one is
        unknown or refused, or a given one belongs to another architecture than the saved one.
    """
    stored = saved.values()
    _check_known(stored, saved.path)
    changes, contradictions = {}, []
    for record in config.records.values():
        if not isinstance(record, _JOINED_RECORDS):
            continue
        names = [name for name in record.names() if name in stored]
        # Checks the values, and brings lists to the form they have as flags.
        kept = type(record)(**{name: stored[name] for name in names})
        for name in names:
            old, value = getattr(kept, name), getattr(record, name)
            if name not in config.given:
                changes[name] = old
            elif value != old and _is_of_network(record, name):
                contradictions.append(f"--{name}={as_text(value)} (saved: {as_text(old)})")
    _settle(contradictions, saved.path, change_network)
    joined = config.with_values(changes, SAVED + saved.path)
    joined.check_given()
    return joined


def _check_known(stored: dict, path: str):
    known = {name for record in record_classes().values() for name in record.names()}
    unknown = sorted(set(stored) - known)
    if unknown:
        raise OptionError(
            f"{', '.join(unknown)} in {path}: no option of this version; evaluate the run with the "
            "version that trained it, or correct the file."
        )


def _is_of_network(record, name: str) -> bool:
    return isinstance(record, _NETWORK_RECORDS) or name in DATA_OF_THE_NETWORK


def _settle(contradictions: list, path: str, change_network: bool):
    """Raises OptionError for contradictions that were not allowed."""
    if contradictions and not change_network:
        raise OptionError(
            f"{', '.join(contradictions)} contradicts the network that the checkpoint was trained "
            f"as, according to {path}; leave the flag out, or pass --change_network to run another "
            "network on purpose."
        )
    if contradictions:
        logging.info("--change_network: the network gets %s.", ", ".join(contradictions))


def as_text(value) -> str:
    """Returns an option's value as it is written on the command line; "unset" for None."""
    if value is None:
        return "unset"
    if isinstance(value, (tuple, list)):
        return ",".join(str(element) for element in value)
    return str(value).lower() if isinstance(value, bool) else str(value)

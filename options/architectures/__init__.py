"""The options of the architectures: one file for each that has flags of its own.

A file offers its records in a dict VARIANTS, architecture -> class; `options/network.py` collects
them. An architecture without a file has no options.
"""

from __future__ import annotations

import dataclasses

from common import Options
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class ArchitectureOptions(Options):
    """The options of an architecture without flags of its own; base of the other records."""

    def check_network(self, network):
        """Raises OptionError if these options contradict the rest of the network.

        Args:
          network: The `NetworkOptions` record.
        """


def check_blocks(name: str, filters: tuple):
    """Raises OptionError unless a decoder has one to five blocks.

    Args:
      name: The option.
      filters: Its value, the channels of the blocks.
    """
    if not 1 <= len(filters) <= 5:
        raise OptionError(f"--{name} has {len(filters)} values, but a decoder has 1 to 5 blocks.")

"""One process on CPU."""

from __future__ import annotations

from deployment.backend import Backend
from deployment.options import DeviceOptions
from utils.errors import OptionError


def create(options: DeviceOptions) -> Backend:
    """Returns the CPU backend.

    Raises:
      OptionError: If several ranks are asked for, which need a launcher.
    """
    if options.rank != 1:
        raise OptionError(
            f"--rank={options.rank} asks for several processes, but this version trains in one "
            "on CPU; leave the flag out."
        )
    return Backend(options)

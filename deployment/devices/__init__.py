"""The devices, one file each: a file with a dict VARIANTS offers devices by name.

The `npu_*` files are helpers of the NPU; they offer none.
"""

from __future__ import annotations

import dataclasses
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Device:
    """A kind of device.

    Attributes:
      create: Function of `DeviceOptions`, and `RankOptions` or None for a process by itself, that
        returns the `Backend` of this process.
      is_available: Function that returns whether this machine has such a device.
      preference: `--device=auto` takes the available device with the highest.
      flags: The options that have an effect on this device but not on every device.
    """

    create: Callable
    is_available: Callable
    preference: int
    flags: tuple

"""The named steps after the threshold: one file each, found by the VARIANTS of its module.

A step sees where one class is predicted and returns where it shall be. `core.inference.steps`
decides what becomes of the pixels that a class loses or gains, and in which order steps run.
Objects are connected over edges and corners (8 neighbours), holes over edges only (4), so that no
line of pixels belongs to both an object and the hole that it cuts.

None of these modules imports TensorFlow, so that a wrong step is refused without waiting for it.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

# Neighbours over edges and corners, as scipy.ndimage takes them.
EIGHT = np.ones([3, 3], bool)


class Step(NamedTuple):
    """A step.

    Attributes:
      apply: Maps a mask, bool [h, w] with at least one pixel set, and the number of the step, an
        int from 1 (or None), to a new mask.
      takes_number: Whether it needs a number.
    """

    apply: Callable
    takes_number: bool = False

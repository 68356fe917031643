"""What training images are changed by at random once their crop is chosen, one file each.

All of it is off by default. Each file offers its augmentations in a dict VARIANTS;
`datasets/pipeline/preprocess.py` collects them.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, NamedTuple

from options.augmentation import AugmentationOptions


class Fill(NamedTuple):
    """What lies outside of an image.

    Attributes:
      color: (red, green, blue), 0..255.
      label: The ignore label.
    """

    color: tuple[float, float, float]
    label: int


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One augmentation.

    Attributes:
      apply: `apply(image, label, options, random, fill) -> (image, label)`. The image is float32
        [h, w, 3] in 0..255, the label integers [h, w, 1], both of them the same size afterwards;
        `random` is float32 [numbers] in [0, 1) and decides alone, so that a sample depends on
        (seed, sample number) only.
      is_on: AugmentationOptions -> whether it is wanted.
      numbers: How many uniform numbers it takes.
      order: Augmentations are applied, and get their numbers, in ascending order. A new one comes
        last: the numbers of the others, and so the samples of a seed, stay as they are.
      on_padded: Whether it works on the padded crop, of which the size is static; else padding
        comes after it.
    """

    apply: Callable
    is_on: Callable[[AugmentationOptions], bool]
    numbers: int
    order: int
    on_padded: bool = False

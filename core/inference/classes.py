"""The classes that a network tells apart: their names, their colours, and what masks call them."""

from __future__ import annotations

import dataclasses

import numpy as np

from utils import colormap
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names, colours and mask values by class id.

    Attributes:
      names: One name per class.
      colors: One (red, green, blue), 0..255, per class.
      mask_values: What a pixel of each class is in a written mask, 0..255; the class ids, unless a
        benchmark's server wants other numbers.
    """

    names: tuple
    colors: tuple
    mask_values: tuple

    def __len__(self):
        return len(self.names)

    def palette(self) -> np.ndarray:
        """Returns the colour of each mask value, uint8 [256, 3]; PASCAL's where there is none."""
        palette = colormap.pascal(256)
        palette[list(self.mask_values)] = self.colors
        return palette

    def to_mask(self, labels) -> np.ndarray:
        """Returns the mask values of class ids, integers [h, w], as uint8 [h, w]."""
        return np.array(self.mask_values, np.uint8)[labels]

    def with_mask_values(self, values) -> Classes:
        """Returns the same classes with other mask values.

        Raises:
          OptionError: Unless there is one value, 0 to 255, per class.
        """
        values = tuple(int(value) for value in values)
        if len(values) != len(self.names) or not all(0 <= value <= 255 for value in values):
            raise OptionError(
                f"there are {len(values)} label ids for {len(self.names)} classes; give one number "
                "from 0 to 255 per class, in their order."
            )
        return dataclasses.replace(self, mask_values=values)

    def table(self) -> list:
        """Returns one plain dict per class, for JSON."""
        return [
            {"id": index, "name": name, "color": list(color), "mask_value": value}
            for index, (name, color, value) in enumerate(
                zip(self.names, self.colors, self.mask_values)
            )
        ]


def create(names, colors=None) -> Classes:
    """Returns classes; without colours they get PASCAL's.

    Raises:
      ValueError: If there are not as many colours as names.
    """
    if colors is None:
        colors = colormap.pascal(len(names)).tolist()
    if len(colors) != len(names):
        raise ValueError(f"there are {len(colors)} colours for {len(names)} classes.")
    return Classes(
        names=tuple(str(name) for name in names),
        colors=tuple(tuple(int(value) for value in color) for color in colors),
        mask_values=tuple(range(len(names))),
    )

"""Test-time augmentation: the scales, flips and turns whose probabilities are averaged."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

from absl import flags

from common import Options, option
from utils.errors import OptionError

# How the probabilities of several runs become one; see `core.inference.merging`.
MEAN, GEOMETRIC_MEAN = AVERAGES = ("mean", "gmean")


class Symmetry(NamedTuple):
    """One of the eight symmetries of a square: mirrors first, then the transposition.

    Attributes:
      transposed: Whether rows become columns.
      vertical: Whether the first row becomes the last.
      horizontal: Whether the first column becomes the last.
    """

    transposed: bool = False
    vertical: bool = False
    horizontal: bool = False


@dataclasses.dataclass(frozen=True)
class Averaging:
    """What is averaged: every scale in every symmetry, all with the same weight.

    The symmetries are those that the chosen ones generate: both flips make four (the fourth is the
    half turn), quarter turns and any flip all eight.

    Attributes:
      scales: Factors on the input size.
      flip: Whether images are flipped horizontally too.
      vertical_flip: Whether they are flipped vertically too.
      rotate: Whether they are turned by 90, 180 and 270 degrees too.
      average: One of `AVERAGES`.
    """

    scales: tuple = (1.0,)
    flip: bool = False
    vertical_flip: bool = False
    rotate: bool = False
    average: str = MEAN

    @classmethod
    def of_keras(cls, value, flip_pred: bool = True) -> Averaging:
        """Returns what `testTimeAugmentation` of the Keras segmentation pipeline means.

        Source: musket_core and segmentation_training_pipeline, where any other true value stands
        for the eight symmetries. There `Horizontal_and_vertical` counts the upright image twice and
        leaves the half turn out, and turns cut images that are not square; here neither is so.

        Args:
          value: None, False, "Horizontal", "Horizontal_and_vertical", or another value.
          flip_pred: `flipPred`: whether predictions are turned back.

        Raises:
          OptionError: If they are not turned back: masks of different places would be averaged.
        """
        if value and not flip_pred:
            raise OptionError(
                f"testTimeAugmentation: {value} with flipPred: false averages masks that are not "
                "turned back, so every pixel with others; leave flipPred out."
            )
        flips = {"Horizontal": (True, False), "Horizontal_and_vertical": (True, True)}
        if not value or value in flips:
            horizontal, vertical = flips.get(value, (False, False))
            return cls(flip=horizontal, vertical_flip=vertical)
        return cls(flip=True, rotate=True)

    @property
    def symmetries(self) -> tuple:
        """The symmetries, those that keep the orientation of an image first."""
        if not self.rotate:
            vertical, horizontal = (
                (False, True) if chosen else (False,) for chosen in (self.vertical_flip, self.flip)
            )
            return tuple(Symmetry(False, *both) for both in itertools.product(vertical, horizontal))
        found = itertools.starmap(Symmetry, itertools.product((False, True), repeat=3))
        if self.flip or self.vertical_flip:
            return tuple(found)
        # Turns are an even number of mirrors, and the transposition is one.
        return tuple(symmetry for symmetry in found if sum(symmetry) % 2 == 0)

    @property
    def runs(self) -> int:
        """How often an image is predicted."""
        return len(self.scales) * len(self.symmetries)

    @property
    def cost(self) -> float:
        """Pixels that are predicted for each pixel of an image."""
        return sum(scale**2 for scale in self.scales) * len(self.symmetries)

    def settings(self) -> dict:
        """Returns all but the scales by the names of the flags."""
        return {
            "add_flipped_images": self.flip,
            "add_vertically_flipped_images": self.vertical_flip,
            "add_rotated_images": self.rotate,
            "average": self.average,
        }


@dataclasses.dataclass(frozen=True)
class SymmetryOptions(Options):
    """Test-time flips and turns, and how probabilities are averaged."""

    add_flipped_images: bool = option(
        flags.DEFINE_bool,
        False,
        "Run each scale on the horizontally flipped image too, and average.",
    )
    add_vertically_flipped_images: bool = option(
        flags.DEFINE_bool,
        False,
        "Run each scale on the vertically flipped image too; with --add_flipped_images also on the "
        "one flipped both ways.",
    )
    add_rotated_images: bool = option(
        flags.DEFINE_bool,
        False,
        "Run each scale on the image turned by 90, 180 and 270 degrees too; with a flip on all "
        "eight symmetries.",
    )
    average: str = option(
        flags.DEFINE_string,
        MEAN,
        "How the probabilities of scales, flips, turns and checkpoints become one: their mean, or "
        "gmean, the geometric mean, which counts a confident no more.",
        choices=AVERAGES,
    )


@dataclasses.dataclass(frozen=True)
class ScaleOptions(SymmetryOptions):
    """Test-time scales; `export_model.py` has a flag of another name for them."""

    eval_scales: tuple[float, ...] = option(
        flags.DEFINE_multi_float,
        (1.0,),
        "Input scale; repeat the flag to average the probabilities of several.",
        above=0.0,
    )


def of(options: SymmetryOptions, scales) -> Averaging:
    """Returns what is averaged, at the scales that the command's flag names."""
    return Averaging(
        scales=tuple(scales),
        flip=options.add_flipped_images,
        vertical_flip=options.add_vertically_flipped_images,
        rotate=options.add_rotated_images,
        average=options.average,
    )

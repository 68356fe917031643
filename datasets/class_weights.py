"""Loss weights for rare classes, by three common formulas.

All count pixels that are labelled and not ignored. A class without pixels gets the weight 1, which
has no effect.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from utils.classes import ClassSet

# Cui et al. try 0.9 to 0.9999 on data sets of similar size.
BETA = 0.999

# The value of --label_weights_from -> the name of the formula in audits.
NAMES = {
    "median_frequency": "median frequency",
    "inverse": "inverse frequency",
    "effective": "effective number",
}


def _zeros() -> np.ndarray:
    return np.zeros(256, np.int64)


@dataclasses.dataclass
class ClassCounts:
    """Sums over the labels of a split.

    Attributes:
      pixels: Pixels of each value, int64 [256].
      images_with: Images that contain each value, int64 [256].
      pixels_of_images: Pixels of those images that count, int64 [256].
    """

    pixels: np.ndarray = dataclasses.field(default_factory=_zeros)
    images_with: np.ndarray = dataclasses.field(default_factory=_zeros)
    pixels_of_images: np.ndarray = dataclasses.field(default_factory=_zeros)

    def add_label(self, values: np.ndarray, pixels: np.ndarray, counted: int):
        """Adds an image's label.

        Args:
          values: The values in it.
          pixels: The pixels of each of them.
          counted: Pixels that are not ignored.
        """
        self.pixels[values] += pixels
        self.images_with[values] += 1
        self.pixels_of_images[values] += counted


def suggested(classes: ClassSet, counts: ClassCounts) -> dict:
    """Returns name of the formula -> weights of all classes; classes that never count get 1.

    Args:
      classes: The classes.
      counts: Of the split to train on.
    """
    counted = list(classes.counted)
    pixels, images = counts.pixels[counted], counts.images_with[counted]
    found = {
        "median frequency": median_frequency(pixels, counts.pixels_of_images[counted]),
        "inverse frequency": inverse_frequency(pixels),
        "effective number": effective_number(images),
    }
    return {name: _of_all(values, counted, classes.count) for name, values in found.items()}


def _of_all(values, labels: list, number: int) -> np.ndarray:
    weights = np.ones(number)
    weights[labels] = values
    return weights


def rounded(weights) -> list:
    """Returns weights as numbers of six digits, as they are written and used."""
    return [float(f"{value:.6g}") for value in weights]


def median_frequency(pixels, pixels_of_images) -> np.ndarray:
    """Returns median(f) / f, with f a class's share of the pixels of the images that contain it.

    Source: Eigen and Fergus, arXiv 1411.4734, section 6.3.2.

    Args:
      pixels: Pixels of each class, [classes].
      pixels_of_images: All counted pixels of the images that contain it, [classes].
    """
    pixels = np.asarray(pixels, np.float64)
    present = pixels > 0
    weights = np.ones(len(pixels))
    if present.any():
        frequency = pixels[present] / np.asarray(pixels_of_images, np.float64)[present]
        weights[present] = np.median(frequency) / frequency
    return weights


def inverse_frequency(pixels) -> np.ndarray:
    """Returns weights in proportion to 1 / pixels, with mean 1 over the classes that occur."""
    pixels = np.asarray(pixels, np.float64)
    present = pixels > 0
    weights = np.ones(len(pixels))
    if present.any():
        inverse = 1.0 / pixels[present]
        weights[present] = inverse / inverse.mean()
    return weights


def effective_number(images, beta: float = BETA) -> np.ndarray:
    """Returns weights in proportion to (1 - beta) / (1 - beta ** n), with mean 1.

    n is the number of images that contain the class, since neighbouring pixels are redundant, which
    the effective number accounts for. The weights are milder than those of pixel counts.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
    arXiv 1901.05555, section 4.

    Args:
      images: Images that contain each class, [classes].
      beta: From 0 (all alike) to below 1 (close to 1 is inverse frequency).
    """
    images = np.asarray(images, np.float64)
    present = images > 0
    weights = np.ones(len(images))
    if present.any():
        effective = (1.0 - beta) / (1.0 - np.power(beta, images[present]))
        weights[present] = effective / effective.mean()
    return weights


def as_flags(weights) -> str:
    """Returns the flags to paste: --label_weights=1.25 --label_weights=0.5."""
    return " ".join(f"--label_weights={weight:.4g}" for weight in weights)

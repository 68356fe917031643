"""Small pictures for pages."""

import io

import numpy as np
import pytest
from PIL import Image

from utils import pictures

pytestmark = pytest.mark.once


def test_noise_can_be_drawn_though_its_files_are_large():
    random = np.random.RandomState(0)
    image = random.randint(0, 256, [300, 400, 3]).astype(np.uint8)
    labels, predictions = random.randint(0, 21, [2, 300, 400])
    colors = random.randint(0, 256, [21, 3]).tolist()
    drawn = pictures.panels(image, labels, predictions, colors=colors, ignore_label=255)
    for content in (drawn.image, drawn.truth, drawn.prediction, drawn.error):
        with Image.open(io.BytesIO(content)) as file:
            assert file.size == (400, 300)
            file.load()


def _luminance(color):
    """Returns the relative luminance of a colour, which every kind of colour vision sees.

    Source: WCAG 2.1, "relative luminance".
    """
    parts = np.asarray(color) / 255.0
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_an_error_differs_from_the_first_class_and_from_its_grey_without_seeing_colours():
    image = np.full([16, 16, 3], 255, np.uint8)
    labels = np.zeros([16, 16], np.uint8)
    predictions = np.where(np.arange(16) < 8, 1, labels)
    colors = ((0, 0, 0), (128, 0, 0))
    found = pictures.panels(image, labels, predictions, colors=colors, ignore_label=255)
    pixels = np.asarray(Image.open(io.BytesIO(found.error)))
    wrong, grey = pixels[4:12, 2:6].mean((0, 1)), pixels[4:12, 10:14].mean((0, 1))
    for other in (grey, colors[1]):
        # The least contrast of graphical objects (WCAG 2.1, criterion 1.4.11).
        assert (_luminance(wrong) + 0.05) / (_luminance(other) + 0.05) >= 3

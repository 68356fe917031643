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

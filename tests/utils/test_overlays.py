"""Overlays and legends."""

import numpy as np

from tests.small_data import pixels
from utils import overlays


def test_an_overlay_mixes_colours_in_and_leaves_black_classes_out():
    image = pixels(0, 4, 5)
    labels = np.array([[0, 1, 1, 0, 1]] * 4)
    drawn = overlays.overlay(image, labels, [(0, 0, 0), (200, 100, 0)], opacity=0.5)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])
    expected = 0.5 * image + 0.5 * np.array([200, 100, 0])
    assert np.abs(drawn - expected)[labels == 1].max() <= 1


def test_an_overlay_of_full_opacity_is_the_colour():
    image = np.full([2, 2, 3], 255, np.uint8)
    drawn = overlays.overlay(image, np.zeros([2, 2], int), [(255, 1, 0)], opacity=1.0)
    assert (drawn == (255, 1, 0)).all()


def test_a_legend_shows_every_colour():
    legend = overlays.legend([("road", (1, 2, 3)), ("car", (200, 0, 0))])
    colors = {color for _, color in legend.getcolors(1 << 16)}
    assert {(1, 2, 3), (200, 0, 0)} <= colors

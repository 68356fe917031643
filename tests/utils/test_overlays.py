"""Overlays and legends."""

import numpy as np
import pytest

from tests.small_data import pixels
from utils import overlays

pytestmark = pytest.mark.once


def test_an_overlay_mixes_colours_in_and_leaves_black_classes_out():
    image = pixels(0, 4, 7)
    labels = np.array([[0, 1, 1, 1, 1, 1, 0]] * 4)
    drawn = overlays.overlay(image, labels, [(0, 0, 0), (200, 100, 0)], opacity=0.5)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])
    expected = 0.5 * image + 0.5 * np.array([200, 100, 0])
    assert np.abs(drawn - expected)[:, 2:5].max() <= 1


def test_a_coloured_class_has_an_edge_that_is_wider_in_a_large_photo():
    for side, width in ((40, 1), (1200, 2)):
        labels = np.zeros([side, 40], int)
        labels[10:30] = 1
        image = np.full([*labels.shape, 3], 100, np.uint8)
        drawn = overlays.overlay(image, labels, [(0, 0, 0), (200, 0, 0)], opacity=0.5)
        in_full = (drawn == (200, 0, 0)).all(axis=(1, 2))
        edge = [*range(10, 10 + width), *range(30 - width, 30)]
        assert np.flatnonzero(in_full).tolist() == edge
        assert (drawn[labels == 0] == 100).all()


def test_an_overlay_of_full_opacity_is_the_colour():
    image = np.full([2, 2, 3], 255, np.uint8)
    drawn = overlays.overlay(image, np.zeros([2, 2], int), [(255, 1, 0)], opacity=1.0)
    assert (drawn == (255, 1, 0)).all()


def test_a_legend_shows_every_colour():
    legend = overlays.legend([("road", (1, 2, 3)), ("car", (200, 0, 0))])
    colors = {color for _, color in legend.getcolors(1 << 16)}
    assert {(1, 2, 3), (200, 0, 0)} <= colors


def test_an_overlay_of_several_classes_mixes_their_colours():
    image = np.full([5, 9, 3], 100, np.uint8)
    labels = np.zeros([5, 9, 3], np.uint8)
    labels[:, 3:, 0] = 1
    labels[:, 6:, 1] = 1
    labels[..., 2] = 1
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 0)]
    drawn = overlays.overlay(image, labels, colors, opacity=0.5)
    assert (drawn[:, :2] == 100).all()
    assert (drawn[:, 4] == (100, 50, 50)).all()
    assert (drawn[:, 8] == (84, 84, 50)).all()
    # Edges have the full colour.
    assert (drawn[:, 3] == (100, 0, 0)).all()

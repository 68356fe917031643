import numpy as np
import pytest

from tests.resources import golden_json
from utils import colormap
from utils.errors import OptionError


@pytest.mark.parametrize("name", sorted(colormap.MAPS))
def test_colours_are_those_of_the_reference(name):
    expected = golden_json("colormaps.json")["maps"][name]["colours"]
    np.testing.assert_array_equal(colormap.create(name), expected)


def test_every_map_of_the_reference_is_there():
    assert set(golden_json("colormaps.json")["maps"]) == set(colormap.MAPS)


def test_the_first_pascal_colours_are_those_of_the_devkit():
    expected = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    np.testing.assert_array_equal(colormap.pascal(5), expected)
    assert colormap.pascal(256)[255].tolist() == [224, 224, 192]


def test_a_label_is_shown_in_its_colours():
    picture = colormap.colorize(np.array([[0, 2]]), [(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    assert picture.tolist() == [[[1, 2, 3], [7, 8, 9]]]
    assert picture.dtype == np.uint8


def test_a_label_without_a_colour_is_refused():
    with pytest.raises(ValueError, match="0 to 3, .* 2 colours"):
        colormap.colorize(np.array([[0, 3]]), [(0, 0, 0), (1, 1, 1)])


def test_an_unknown_map_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="coco .*ade20k, cityscapes"):
        colormap.create("coco")

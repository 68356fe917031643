"""Where windows lie, and that blending neither shifts nor changes anything."""

import numpy as np
import pytest

from core.inference import windows
from core.inference.windows import Windows

GREY = (127.5, 127.5, 127.5)


@pytest.mark.parametrize(
    ("length", "window", "overlap", "expected"),
    [
        (10, 10, 0.25, [0]),
        (7, 10, 0.25, [0]),
        (11, 10, 0.25, [0, 1]),
        (25, 10, 0.0, [0, 8, 15]),
        (30, 10, 0.5, [0, 5, 10, 15, 20]),
    ],
)
def test_windows_are_spread_evenly_from_edge_to_edge(length, window, overlap, expected):
    assert windows.offsets(length, window, overlap) == expected


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("length", [33, 34, 50, 65, 97, 200])
def test_neighbours_overlap_at_least_as_wanted_and_reach_the_end(length, overlap):
    starts = windows.offsets(length, 33, overlap)
    assert starts[0] == 0
    assert starts[-1] + 33 == length
    assert all(33 - (b - a) >= overlap * 33 - 1e-9 for a, b in zip(starts, starts[1:]))


def test_weights_rise_over_the_overlap_and_are_never_zero():
    weights = windows.side_weights(8, 0.25)
    np.testing.assert_allclose(weights, [0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25])
    assert windows.side_weights(8, 0.0).min() == 0.5


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
@pytest.mark.parametrize("size", [(40, 50), (13, 17), (9, 60), (41, 8), (5, 6), (100, 33)])
def test_windows_that_show_the_image_itself_give_the_image_back(size, overlap):
    image = np.random.RandomState(0).randint(0, 256, [*size, 3]).astype(np.uint8)
    seen = []

    def run(parts):
        seen.append(parts.shape)
        return parts / 255.0

    rows = list(windows.blended_rows(image, Windows((13, 17), overlap), GREY, run))
    np.testing.assert_allclose(np.concatenate(rows), image / 255.0, atol=1e-5)
    assert all(shape[1:] == (13, 17, 3) for shape in seen)


def test_what_lies_beside_a_small_image_has_the_pad_color():
    parts = []
    image = np.zeros([4, 3, 3], np.uint8)

    def run(row):
        parts.append(row)
        return row

    list(windows.blended_rows(image, Windows((5, 6)), (1.0, 2.0, 3.0), run))
    (part,) = parts
    np.testing.assert_array_equal(part[0, :4, :3], 0.0)
    np.testing.assert_array_equal(part[0, 4], np.tile(np.float32([1, 2, 3]), [6, 1]))
    np.testing.assert_array_equal(part[0, :, 3:], np.tile(np.float32([1, 2, 3]), [5, 3, 1]))


def test_a_pixel_near_an_edge_counts_less_than_inside_of_the_next_window():
    image = np.zeros([4, 12, 3], np.uint8)
    windows_of_8 = Windows((4, 8), 0.5)

    def run(parts):
        # The first window answers 0 everywhere, the second 1.
        return np.arange(len(parts), dtype=np.float32)[:, None, None, None] * np.ones([1, 4, 8, 1])

    (rows,) = windows.blended_rows(image, windows_of_8, GREY, run)
    np.testing.assert_allclose(rows[0, :, 0], [0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1])


@pytest.mark.parametrize("length", range(1, 40))
@pytest.mark.parametrize("number", [2, 3, 7])
def test_cells_cover_a_side_and_overlap_by_a_pixel_at_most(length, number):
    cells = windows.cells_of(length, number)
    assert len(cells) == min(length, number)
    counts = np.zeros(length, int)
    for cell in cells:
        assert cell.stop > cell.start
        counts[cell] += 1
    assert counts.min() == 1
    assert counts.max() <= 2
    assert [cell.start for cell in cells] == sorted({cell.start for cell in cells})


def test_cells_that_show_the_image_itself_give_the_image_back():
    image = np.random.RandomState(0).randint(0, 256, [17, 26, 3])
    found = windows.stitched(image, windows.Grid(3), lambda cell: cell / 255.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, image / 255.0, atol=1e-6)


def test_only_images_above_the_budget_are_cut():
    assert not Windows((10, 20)).needed_for(10, 20)
    assert not Windows((10, 20)).needed_for(20, 10)
    assert Windows((10, 20)).needed_for(11, 20)
    assert not Windows((10, 20), max_pixels=1000).needed_for(10, 100)
    assert Windows((10, 20), max_pixels=1000).needed_for(10, 101)

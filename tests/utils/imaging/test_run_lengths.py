"""Run lengths: the scheme of the salt challenge's CSV, there and back."""

import csv

import numpy as np
import pytest
from PIL import Image

from tests.resources import data_folder
from utils.imaging import run_lengths


def test_pixels_are_numbered_from_one_down_the_columns():
    mask = np.array([[0, 1, 1], [1, 1, 0]])
    assert run_lengths.encode(mask) == "2 4"
    assert run_lengths.encode(np.zeros([2, 3])) == ""
    assert run_lengths.encode(np.ones([2, 3])) == "1 6"


@pytest.mark.parametrize("seed", range(4))
def test_decoding_gives_the_mask_back(seed):
    mask = np.random.RandomState(seed).uniform(size=(13, 7)) < 0.2 * (seed + 1)
    np.testing.assert_array_equal(run_lengths.decode(run_lengths.encode(mask), 13, 7), mask)


@pytest.mark.parametrize("seed", range(4))
def test_coco_s_counts_are_those_of_its_library(seed):
    from pycocotools import mask as coco

    mask = np.random.RandomState(seed).uniform(size=(40, 7)) < 0.02 * 10**seed / 10
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    counts = run_lengths.coco_counts(packed)
    np.testing.assert_array_equal(run_lengths.of_coco_counts(counts, 40, 7), mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [("1", "pairs"), ("1 x", "1 x"), ("0 2", "not within"), ("5 3", "2x3 pixels")],
)
def test_run_lengths_that_are_none_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        run_lengths.decode(text, 2, 3)


def test_the_masks_of_the_salt_challenge_have_its_run_lengths():
    folder = data_folder("rle_salt") / "salt"
    with open(str(folder / "train.csv"), newline="") as file:
        rows = list(csv.DictReader(file))[:60]
    assert any(row["rle_mask"] for row in rows)
    for row in rows:
        with Image.open(folder / "train" / "masks" / f"{row['id']}.png") as file:
            mask = np.asarray(file) > 0
        assert run_lengths.encode(mask) == row["rle_mask"]
        np.testing.assert_array_equal(run_lengths.decode(row["rle_mask"], *mask.shape), mask)
